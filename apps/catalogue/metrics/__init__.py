"""Keys of metrics: what each means, and what other tools call it."""
