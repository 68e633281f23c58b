"""What is asked of a run: its fields, their defaults, what fits and what does not."""
