"""The form of a run that branches off another."""
