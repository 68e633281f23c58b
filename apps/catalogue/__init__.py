"""What there is to choose from, as data: nothing here constructs, trains or opens anything."""
