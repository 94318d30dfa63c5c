"""A probe of heads: random tokens said again and again, and which heads find the copies."""
