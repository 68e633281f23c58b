"""The page of one checkpoint."""
