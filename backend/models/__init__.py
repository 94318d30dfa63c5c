"""Models: names, loading, the load-time support check, tokenisation, and the shelf that keeps them.

``names`` imports neither torch nor transformers, because a run found in the store needs only it.
"""
