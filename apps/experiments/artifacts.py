"""Where the record keeps files of its own, beside the run directories."""

import hashlib
from pathlib import Path

from django.conf import settings


def experiment_file(name: str) -> Path:
    """Return the file that holds an experiment's hypothesis, from which `reindex` rebuilds it.

    Names are free text, so the file is named after their hash.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return Path(settings.MEDIA_ROOT) / "experiments" / f"{digest}.json"
