"""Shapes of what REST takes and answers, by subject."""
