"""What a user can ask: all that pages, REST and commands call."""
