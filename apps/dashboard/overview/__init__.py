"""The first page, and the lists of experiments and videos."""
