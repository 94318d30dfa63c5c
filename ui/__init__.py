"""The page: one selection, every view linked."""
