"""Many environments at once: in one process, in several, or in one call."""
