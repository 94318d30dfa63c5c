"""How events of a page are handled; written once."""

from typing import Any

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
"""No endpoint of its own, no veil over what it changes."""
EAGER: dict[str, Any] = {**QUIET, "concurrency_limit": None, "trigger_mode": "always_last"}
"""Only the newest of many is answered, and none waits for others' turns."""
