"""Why a number: its definition, the slice it came from, and Python that gives it again."""
