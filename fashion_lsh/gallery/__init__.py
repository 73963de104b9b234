"""The gallery on disk: index, embeddings, catalogue."""
