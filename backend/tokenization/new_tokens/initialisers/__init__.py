"""How the rows of new tokens are made."""
