"""Gallery of garments: index, embeddings and catalogue, in memory and on disk."""
