"""The Audit page: a text of another engine judged, and its figures beside own runs."""
