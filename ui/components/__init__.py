"""Parts of the page: factories of ``gr.HTML``, each with one script in ``assets/js``.

They are functions, not subclasses: a subclass makes Gradio write a ``.pyi`` file beside the source.
"""
