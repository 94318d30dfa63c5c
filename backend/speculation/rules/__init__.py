"""One rule a module, each found by itself."""
