"""Reading logs: series, latest values, tails and summaries.

The only room that knows how a run's points are kept. Must not know queues or pages.
"""
