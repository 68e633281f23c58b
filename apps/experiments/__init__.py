"""The record: what was asked, what ran, what came of it.

Owns the domain models and their rules. Must not know queues, processes, logs' contents or pages.
"""
