"""`doctor`: look whether this machine has what training, films and pages need."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import imageio_ffmpeg
from django.conf import settings
from django.core import checks
from django.core.management.base import CommandError

from apps.catalogue import extras
from apps.catalogue.algorithms.backends import BACKENDS, DEFAULT_BACKEND
from apps.catalogue.extras import install_command
from apps.cli.command import Command as OurCommand
from apps.jobs import presence, soundness
from apps.machine import gpu
from apps.rundir import provenance
from apps.words import size_in_words

LOW_DISK_BYTES = 2 * 1024**3
CUDA_TIMEOUT_S = 60
PACKAGES = ("torch", "stable-baselines3", "gymnasium", "moviepy", "django", "huey", "channels")


class Command(OurCommand):
    help = (
        "Check this machine: packages, backends, device, ffmpeg, database, media, queue, disk, "
        "worker."
    )
    needs_database = False  # It is to say what is wrong with it.
    requires_system_checks = ()

    def run(self, options: dict[str, Any]) -> None:
        findings = [
            _packages(),
            *_extras(),
            _device(),
            _ffmpeg(),
            _database(),
            _media(),
            _queue(),
            _disk(),
            _worker(),
        ]
        if options["json"]:
            self.print_json(
                [dict(zip(("name", "state", "detail"), f, strict=True)) for f in findings]
            )
        else:
            for name, state, detail in findings:
                style = {"ok": self.style.SUCCESS, "warning": self.style.WARNING}.get(
                    state, self.style.ERROR
                )
                self.stdout.write(f"{style(f'{state:<8}')} {name:<10} {detail}")
        failed = [name for name, state, _ in findings if state == "error"]
        if failed:
            raise CommandError(f"not in order: {', '.join(failed)}")


Finding = tuple[str, str, str]


def _packages() -> Finding:
    versions, missing = [], []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return "packages", "error", f"missing: {', '.join(missing)}; run `make install`"
    return "packages", "ok", ", ".join(versions)


def _extras() -> Iterator[Finding]:
    """Yield what there is to say of what a run may ask for and comes as an extra."""
    for backend in BACKENDS.values():
        if backend.name != DEFAULT_BACKEND:
            installed = provenance.package_versions(backend.distributions)
            own = (f"{name} {installed.get(name)}" for name in backend.distributions)
            yield backend.name, "ok", backend.missing() or ", ".join(own)
    found = provenance.package_versions(("tensorboard",)).get("tensorboard")
    yield (
        "tensorboard",
        "ok",
        str(found or f"not installed; {install_command(extras.REQUIREMENT)}"),
    )


def _device() -> Finding:
    # In a process of its own: this one stays free of torch.
    code = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=CUDA_TIMEOUT_S,
    )
    if done.returncode:
        return "device", "error", f"torch cannot be imported: {done.stderr.strip()[-200:]}"
    if name := done.stdout.strip():
        memory = gpu.look()
        sizes = (memory.free_bytes, memory.total_bytes) if memory else ()
        free = " of ".join(map(size_in_words, sizes))
        return "device", "ok", f"{name}, {free} free" if free else name
    return "device", "ok", "CPU (no CUDA device)"


def _ffmpeg() -> Finding:
    try:
        path = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        return "ffmpeg", "error", str(error)
    return "ffmpeg", "ok", path


def _database() -> Finding:
    if trouble := soundness.database_trouble():
        return "database", "error", trouble
    messages = [message.msg for message in checks.run_checks() if message.level >= checks.WARNING]
    if messages:
        return "database", "error", " ".join(messages)
    return "database", "ok", str(settings.DATABASES["default"]["NAME"])


def _media() -> Finding:
    trouble = soundness.media_trouble()
    return "media", "error" if trouble else "ok", trouble or str(settings.MEDIA_ROOT)


def _queue() -> Finding:
    # A doorbell: where it cannot be rung, runs begin two seconds later.
    trouble = soundness.queue_trouble()
    return "queue", "warning" if trouble else "ok", trouble or str(settings.QUEUE_PATH)


def _disk() -> Finding:
    try:
        free_bytes = shutil.disk_usage(Path(settings.MEDIA_ROOT)).free
    except OSError as error:
        return "disk", "error", soundness.in_words(error)
    detail = f"{free_bytes / 1024**3:.1f} GiB free for {settings.MEDIA_ROOT}"
    return "disk", "ok" if free_bytes > LOW_DISK_BYTES else "warning", detail


def _worker() -> Finding:
    count = len(presence.living(Path(settings.HOME)))
    if count:
        return "worker", "ok", f"{count} at work"
    return (
        "worker",
        "warning",
        "none runs; queued runs wait until `manage.py up` or `worker` starts",
    )
