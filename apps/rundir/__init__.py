"""What a run leaves on disk: the contract of the run directory. Owns every file name in it."""
