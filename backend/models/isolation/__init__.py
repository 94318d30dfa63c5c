"""A foreign model's tokenizer and chat template run in a process of their own, which can be ended.

A regular expression, a normaliser or a template of a model's files may take for ever, or all
memory, and hold the interpreter's lock meanwhile. ``child`` is that process, ``process`` starts it
and ends it, ``backend`` puts it in the place of the tokenizer that transformers calls.
"""
