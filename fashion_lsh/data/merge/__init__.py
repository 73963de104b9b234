"""Merge several data sets into one catalogue of 30 categories."""
