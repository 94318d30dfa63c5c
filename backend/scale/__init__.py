"""Runs computed by workers, processes that may be on other machines, instead of in this one."""
