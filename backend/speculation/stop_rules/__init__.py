"""One stop rule a module, each found by itself."""
