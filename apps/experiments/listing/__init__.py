"""Lists of runs: filtered, ordered, cut into pages."""
