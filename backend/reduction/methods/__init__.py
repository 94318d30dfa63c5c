"""Ways to compute less, one file each."""
