"""Attribution: which parts of a text made the model expect a token, and whether that is so."""
