"""What people write, read without running anything: numbers, names, expressions, slips."""
