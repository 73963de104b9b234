"""Find rows of a data set that are worth a second look: labels, near-duplicates with two labels, and outliers."""
