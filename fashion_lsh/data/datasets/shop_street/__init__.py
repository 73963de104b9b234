"""The embedded data set: 7,800 items, each in a shop image and in a street image."""
