"""Queueing: where the engine meets the record.

Owns the verbs that span rooms, the queue, supervisors of trainer processes and the watchdog. The
only room that knows Huey. Must not know pages, routes or commands.
"""
