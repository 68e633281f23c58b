"""What numbers say: learning curves, statistics.

Owns pure functions over NumPy arrays. Must not know Django, files, torch or Gymnasium.
"""
