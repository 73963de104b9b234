"""Find the garment in a picture, name it, code it, and find the most similar ones."""

__version__ = "0.3.0"
