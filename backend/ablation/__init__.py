"""What heads, MLPs and layers of a model do for one token: each is cut out in turn."""
