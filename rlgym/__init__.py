"""Wiring only: settings, URLs and the ASGI application. Nothing imports this package."""
