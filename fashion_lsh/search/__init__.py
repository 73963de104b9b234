"""Search policy and searcher."""
