"""What a run will take before it runs: memory and time."""
