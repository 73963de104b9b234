"""Clothing search: detect, classify and hash a garment, then search the inverted lists of its category."""

__version__ = "0.3.0"
