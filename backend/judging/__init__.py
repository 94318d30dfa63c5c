"""Judge a text: published measures of its tokens, each beside what chance would give."""
