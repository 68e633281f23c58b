"""The catalogue of environments, and the page of one."""
