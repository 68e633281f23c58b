"""Face: the REST API under /api/v1/. Routes parse, call one verb or one query, and answer JSON."""
