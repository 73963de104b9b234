"""Losses of the hash head, one file each."""
