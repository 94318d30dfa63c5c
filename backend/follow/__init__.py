"""Follow a token: where it looks, and who looks at it, through one head."""
