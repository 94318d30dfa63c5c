"""Ways to look at one run, one module each: what a view shows, its controls, what it asks for."""
