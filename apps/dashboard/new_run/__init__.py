"""The page of a new run."""
