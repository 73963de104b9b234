"""Atomic files, locks, arrays, downloads and progress."""
