"""Pure functions: a result in, a Plotly figure out."""
