"""The loop of a run, and everything that is told of it."""
