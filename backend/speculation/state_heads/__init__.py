"""Draft heads that read what the target computed anyway: ours, and those of speculators."""
