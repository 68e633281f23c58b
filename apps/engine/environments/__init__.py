"""Environments made, wrapped, and remembered, one at a time; knows no torch."""
