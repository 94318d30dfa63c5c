"""A region: one head's attention over a rectangle of a text, finer than a trace keeps it."""
