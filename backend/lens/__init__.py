"""The logit lens of chosen tokens and layers, on demand."""
