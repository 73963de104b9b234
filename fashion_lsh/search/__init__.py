"""Search policy, searcher and re-ranking."""
