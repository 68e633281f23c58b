"""For scripts outside: one module that logs to a server of ours, to be copied or put on the path.

Needs nothing but the standard library, and nothing else here may need it.
"""
