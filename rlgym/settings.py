"""Settings; every `RLGYM_*` variable is read here and nowhere else (see docs/settings.md)."""

import os
import re
import secrets
from pathlib import Path

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from apps.machine import host

BASE_DIR = Path(__file__).resolve().parent.parent


def _text(name: str, default: str) -> str:
    return os.environ.get(name) or default


def _whole_number(name: str, default: int, low: int, high: int) -> int:
    text = _text(name, str(default))
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ImproperlyConfigured(f"{name}={text!r} must be a whole number from {low} to {high}")
    return int(text)


def _switch(name: str, default: bool) -> bool:
    text = _text(name, "1" if default else "0").lower()
    if text not in {"0", "1", "true", "false"}:
        raise ImproperlyConfigured(f"{name}={text!r} must be 0, 1, true or false")
    return text in {"1", "true"}


def _environments(name: str) -> tuple[str, ...]:
    entries = tuple(part.strip() for part in _text(name, "").split(",") if part.strip())
    for entry in entries:
        if not re.fullmatch(r"[A-Za-z_][\w.]*(:([\w-]+/)?[\w.-]+)?", entry):
            raise ImproperlyConfigured(
                f"{name}: {entry!r} must be a module (my_envs) or an id (my_envs:Maze-v0)"
            )
    return entries


def _modules(name: str) -> tuple[str, ...]:
    modules = tuple(part.strip() for part in _text(name, "").split(",") if part.strip())
    for module in modules:
        if not all(part.isidentifier() for part in module.split(".")):
            raise ImproperlyConfigured(f"{name}: {module!r} must be a module (my_lab.wrappers)")
    return modules


def _folder(name: str, default: Path) -> Path:
    folder = Path(_text(name, str(default))).expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{name}={str(folder)!r} cannot be made: {error}") from error
    return folder


def _secret_key(path: Path) -> str:
    """Return the given key, else the one made on the first run and kept for its owner only."""
    if key := os.environ.get("RLGYM_SECRET_KEY"):
        return key
    if not path.exists():
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_urlsafe(50))
        try:
            os.link(beside, path)  # Two processes may start at once: the first key stays.
        except FileExistsError:
            pass
        finally:
            beside.unlink()
    return path.read_text().strip()


HOME = _folder("RLGYM_HOME", BASE_DIR)
MEDIA_ROOT = _folder("RLGYM_MEDIA", HOME / "media")
RUNS_ROOT = MEDIA_ROOT / "runs"
TRASH_ROOT = MEDIA_ROOT / "trash"

SECRET_KEY = _secret_key(HOME / "secret_key")
DEBUG = _switch("RLGYM_DEBUG", False)
HOST = _text("RLGYM_HOST", "127.0.0.1")
# Which `up` this process belongs to; it gives each a name, by which it knows its own web server.
INSTANCE = _text("RLGYM_INSTANCE", "")
ALLOWED_HOSTS = [
    "localhost",
    "127.0.0.1",
    "[::1]",
    f"[{HOST}]" if ":" in HOST and "[" not in HOST else HOST,
    *(host.strip() for host in _text("RLGYM_ALLOWED_HOSTS", "").split(",") if host.strip()),
]

# Training runs at once. Trainers use one torch thread for small networks, so one a core pays, as
# far as there is memory for twice what a small one takes.
_ROOM_FOR = host.memory_bytes()[1] // (2 * host.PROCESS_BYTES)
WORKERS = _whole_number("RLGYM_WORKERS", max(1, min(host.cores(), _ROOM_FOR, 8)), 1, 64)
# Over all workers of this machine; 0: as many as the worker that asks has slots.
MAX_RUNS = _whole_number("RLGYM_MAX_RUNS", 0, 0, 1024)
# All runs of this machine together; 0: what is free at the moment.
MAX_MEMORY_MB = _whole_number("RLGYM_MAX_MEMORY_MB", 0, 0, 1 << 30)
# Places of a worker for what measures and shows: they take none of training's, nor of each other.
EVALUATION_WORKERS = _whole_number("RLGYM_EVALUATION_WORKERS", 1, 0, 64)
EVALUATION_LIMIT_S = _whole_number("RLGYM_EVALUATION_LIMIT_S", 1800, 1, 86_400)
VIDEO_WORKERS = _whole_number("RLGYM_VIDEO_WORKERS", 1, 0, 64)
VIDEO_LIMIT_S = _whole_number("RLGYM_VIDEO_LIMIT_S", 600, 1, 86_400)
VIDEO_EPISODES = _whole_number("RLGYM_VIDEO_EPISODES", 3, 1, 1000)
VIDEO_SECONDS = _whole_number("RLGYM_VIDEO_SECONDS", 120, 1, 3600)
HEARTBEAT_S = _whole_number("RLGYM_HEARTBEAT_S", 1, 1, 60)
# A run that an outside script logs is given up after so long a silence; the next word revives it.
LOGGED_LEASE_S = _whole_number("RLGYM_LOGGED_LEASE_S", 300, 10, 86_400)
MAX_ATTEMPTS = _whole_number("RLGYM_MAX_ATTEMPTS", 3, 0, 1000)
KEEP_CHECKPOINTS = _whole_number("RLGYM_KEEP_CHECKPOINTS", 3, 1, 10_000)
COMPILED_FOLDER = HOME / "cache" / "jax"
WARM_TRAINER = _switch("RLGYM_WARM_TRAINER", True)

# Environments of one's own: modules and ids, and a folder whose modules every trainer finds. What
# takes longer than the limit to be described is given up.
ENVIRONMENTS = _environments("RLGYM_ENVIRONMENTS")
ENVIRONMENTS_FOLDER = HOME / "environments"
# Further modules whose environments and wrappers may be named from pages and REST.
TRUSTED_MODULES = _modules("RLGYM_TRUSTED_MODULES")
CHECK_LIMIT_S = _whole_number("RLGYM_CHECK_LIMIT_S", 45, 1, 600)

INSTALLED_APPS = [
    "apps.dashboard",  # Before the admin, whose base template it extends and overrides.
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "ninja",  # Serves its documentation page's files locally.
    "apps.accounts",
    "apps.experiments",
    "apps.jobs",
    "apps.cli",
]

MIDDLEWARE = [
    "apps.server.middleware.known_hosts",
    "django.middleware.security.SecurityMiddleware",
    "apps.server.compression.TextCompression",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "apps.server.middleware.private_answers",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "apps.dashboard.zone.in_readers_zone",
]

ROOT_URLCONF = "rlgym.urls"
ASGI_APPLICATION = "rlgym.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Measured with one web process and two workers writing at once: Django's defaults fail 6 % of
# writes with "database is locked", these options none, with a p99 of 4 ms. WAL lets readers go on
# beside the writer; IMMEDIATE takes the write lock at the start instead of failing to upgrade.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": HOME / "db.sqlite3",
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
        "TEST": {"NAME": HOME / "test.sqlite3"},
    }
}
QUEUE_PATH = HOME / "queue.sqlite3"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"  # Stored and sent in UTC; pages show the reader's own zone.
USE_I18N = True
USE_TZ = True

# Whoever reads an upload reads a file; one in memory would be written to be read.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # Straight from the apps: no collectstatic step on a laptop.
WHITENOISE_AUTOREFRESH = DEBUG

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]

# Nothing from a foreign origin, nothing inline but the map of the scripts' names, which a browser
# takes inline only: a nonce, which no other element bears. 'self' covers the page's own websocket.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],  # The admin's own style sheets draw icons from data: URLs.
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "apps.accounts.redaction.RedactingFormatter",
            "format": "{asctime} {levelname:<7} {name}: {message}",
            "style": "{",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "daphne": {"level": "WARNING"},
        "huey": {"level": "WARNING"},
        "django.server": {"level": "WARNING"},
        "django.channels": {"level": "WARNING"},
    },
}
