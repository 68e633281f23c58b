"""Tests of the web server itself, with a real one and raw sockets."""
