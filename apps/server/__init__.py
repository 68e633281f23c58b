"""The web server: daphne, with bounds on what it takes before it keeps it."""
