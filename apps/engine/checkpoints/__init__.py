"""A run's state saved whole and brought back: networks, buffers, environments, randomness."""
