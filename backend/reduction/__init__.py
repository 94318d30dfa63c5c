"""Models that compute less: fewer layers, MLP channels or attended keys, and what that costs."""
