"""The recipe of an adapter: one attention block after the first layers of a model (Kangaroo)."""
