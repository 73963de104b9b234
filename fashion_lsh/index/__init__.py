"""Binary codes, and vectors in inverted lists, searched exactly."""
