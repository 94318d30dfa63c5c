"""A text that somebody else generated: whether the model named can have written it."""
