"""Evaluations and videos that wait, run or have ended."""
