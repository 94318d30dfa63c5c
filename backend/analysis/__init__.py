"""What a trace says about sinks, heavy hitters and heads; NumPy alone, no model needed."""
