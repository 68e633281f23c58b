"""Looks at an environment and a spec before a run: a probe, a rehearsal, a verdict."""
