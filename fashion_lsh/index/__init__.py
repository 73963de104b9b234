"""Finding: codes, indexes, searches."""
