"""Tasks with an answer, and sweeps of policies over budgets."""
