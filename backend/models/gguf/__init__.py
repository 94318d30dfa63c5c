"""GGUF files: what one says of itself, and its conversion into a folder that transformers loads."""
