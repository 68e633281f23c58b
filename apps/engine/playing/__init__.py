"""A trained policy played: evaluated, and filmed."""
