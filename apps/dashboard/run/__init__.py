"""The page of one run, its parts and its buttons."""
