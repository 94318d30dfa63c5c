"""A run as one HTML file that works without a server: ``run.html()`` and ``run.show()``."""
