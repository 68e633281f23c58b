"""The live face: a run's events by websocket and as server-sent events, read from its log.

Owns pace, size and life of a stream. Must not know rules or other faces; uses no channel layer.
"""
