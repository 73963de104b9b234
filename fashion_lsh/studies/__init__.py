"""The thesis's claims, measured."""
