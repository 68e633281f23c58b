"""A data directory as it was written before modules moved: a run of each kind of pickled state.

Made by commands at a terminal; `EPISODES` holds what the same program did next, when each run was
continued for 400 steps, and the paused one resumed.
"""
