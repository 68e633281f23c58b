"""The rooms of rlgym; docs/architecture.md is their map."""
