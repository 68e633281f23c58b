"""Write the golden schema anew: `python -m tests.api.write_schema`, then read the difference."""

import os

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from tests.api.schema import GOLDEN, current_schema

    GOLDEN.write_bytes(current_schema())
