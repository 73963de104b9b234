"""Gallery on disk: index, embeddings, catalogue."""
