"""Face: the pages and the admin. Views parse, call one verb or one query, and show."""
