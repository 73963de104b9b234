"""Several data sets as one catalogue of 30 categories."""
