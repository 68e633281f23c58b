"""Face: the `manage.py` commands. Each parses, calls one verb or query, and prints."""
