"""The formats: every module here that declares one adds it."""
