"""One intervention a module, each found by itself."""
