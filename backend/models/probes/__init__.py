"""Trials that find out what a model can do; ``models.capabilities`` keeps what they found."""
