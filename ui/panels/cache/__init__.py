"""Panels of the Cache page: policies that drop entries, side by side, and at several budgets."""
