"""A heartbeat: when a head comes back to each token of a text."""
