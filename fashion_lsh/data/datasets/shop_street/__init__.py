"""Embedded data set with 7,800 items, each in a shop image and a street image."""
