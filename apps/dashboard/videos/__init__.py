"""The list of videos, and the latest one."""
