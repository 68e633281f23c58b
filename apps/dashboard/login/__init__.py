"""Logging in: a password, or a link."""
