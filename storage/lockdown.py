"""DuckDB settings under which no statement leaves its own database."""

LOCKED_DOWN: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
}
"""No statement reads or writes another file, loads code, sees Python variables or undoes this."""
