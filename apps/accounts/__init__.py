"""Who may come in: one-time login links and API tokens.

Owns credentials only. Must not know runs, jobs or pages.
"""
