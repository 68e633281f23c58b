"""The web server with a shorter patience; all but the length of its limits is as ever.

Who waits for a limit to pass sees the same code end the same connections, whether it is a minute's
or one of some seconds.
"""

import runpy
from importlib import import_module

LIMITS_S = {"IDLE_S": 12, "HEADERS_S": 4.0, "BODY_S": 4.0}  # In the order of the true ones.


def hurry() -> None:
    """Exchange the limits, each for a shorter one."""
    import_module("rlgym.asgi")  # It sets Django up.
    bounded_http = import_module("apps.server.http")
    for name, limit_s in LIMITS_S.items():
        assert limit_s < getattr(bounded_http, name)
        setattr(bounded_http, name, limit_s)


if __name__ == "__main__":
    hurry()
    runpy.run_module("rlgym.server", run_name="__main__")
