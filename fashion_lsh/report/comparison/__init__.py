"""Page that compares two runs query by query."""
