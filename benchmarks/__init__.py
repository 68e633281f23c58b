"""Measurements, each a command: `make bench NAME=<file>`; the last line it prints is JSON."""
