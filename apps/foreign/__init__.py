"""What strangers wrote, believed in nothing: read within bounds, nothing of it is run."""
