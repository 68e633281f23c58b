"""Environments that are known before one is made: ids, families, cards, what they show."""
