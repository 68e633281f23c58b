#!/usr/bin/env python
"""Django's command-line entry."""

import os
import sys

from django.core.management import execute_from_command_line

from apps.jobs.soundness import UNUSABLE, in_words

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rlgym.settings")
    try:
        execute_from_command_line(sys.argv)
    except UNUSABLE as error:  # A command of Django's own; ours say it themselves.
        sys.exit(f"Error: {in_words(error)}")
