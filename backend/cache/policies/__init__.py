"""One policy a module, each found by itself."""
