"""One attribution method a file; each registers itself."""
