"""Ready-made hyperparameters and lengths, and where their figures come from."""
