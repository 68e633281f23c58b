"""Run one spec in this process and write its run directory.

Owns the spec, the catalogues of algorithms and environments, training, evaluation, films and the
layout of a run directory. Must not know Django, a database, a queue or a web server: everything
here works from a terminal with nothing but a folder to write into.
"""
