"""Who may come in: one-time login links and API tokens, and how a refusal is said to a program.

Owns credentials and the form of problem documents. Must not know runs, jobs or pages.
"""
