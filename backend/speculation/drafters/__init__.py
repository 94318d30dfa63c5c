"""One drafter a module, each found by itself."""
