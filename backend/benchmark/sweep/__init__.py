"""Policies x budgets x depths: what a smaller cache costs, over many trials."""
