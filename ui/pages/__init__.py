"""One module per page; each declares what it shows and wires its own events."""
