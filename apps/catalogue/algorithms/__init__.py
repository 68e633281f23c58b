"""Algorithms, their hyperparameters, and the backends that train them."""
