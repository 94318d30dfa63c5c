"""A prompt is edited, and its KV cache is used again (Positional Integrity Encoding)."""
