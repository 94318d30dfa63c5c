"""One task a module, each found by itself."""
