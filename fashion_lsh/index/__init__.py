"""Binary codes, distances, and exact search in inverted lists."""
