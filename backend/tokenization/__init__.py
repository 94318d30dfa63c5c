"""What a text is cut into: vocabularies without weights, segmenters, and what a cut costs."""
