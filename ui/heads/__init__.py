"""Parts of the Heads page."""
