"""The project's settings in a data directory of the test run's own."""

import atexit
import os
import shutil
import tempfile

_home = tempfile.mkdtemp(prefix="rlgym-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["RLGYM_HOME"] = _home
for _name in [name for name in os.environ if name.startswith("RLGYM_") and name != "RLGYM_HOME"]:
    del os.environ[_name]

from rlgym.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# So that the environments of tests may be named by requests, too.
TRUSTED_MODULES = ("tests",)
