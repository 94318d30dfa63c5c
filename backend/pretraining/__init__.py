"""The recipe that trains the bundled models: tokenizer, corpus, training, evaluation, export.

Run it with ``python -m tokenarium.backend.pretraining --help``.
"""
