"""New tokens for a model that was trained without them."""
