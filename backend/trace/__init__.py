"""A trace: everything measured while a model reads one text once."""
