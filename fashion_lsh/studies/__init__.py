"""Studies that measure the claims of the thesis."""
