"""Data: catalogues, images, crops, splits and batches."""
