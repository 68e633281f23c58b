"""Pages as tests read them and buttons as they press them."""

from html.parser import HTMLParser
from pathlib import Path

from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from apps.dashboard.new_run.forms import RunForm
from apps.experiments.models import Run

PLAIN = {
    "algorithm": "ppo",
    "environment": "CartPole-v1",
    "preset": "fast",
    "length": "quick",
    "seed": "3",
}
STATIC = Path(settings.BASE_DIR) / "apps" / "dashboard" / "static" / "dashboard"
TEMPLATES = Path(settings.BASE_DIR) / "templates"
SCRIPTS = [path for folder in ("lib", "parts", "pages") for path in (STATIC / folder).glob("*.js")]


class InlineFinder(HTMLParser):
    """Collects what a strict policy forbids, and addresses that leave this origin."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.n_maps = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        is_inline = tag == "style" or (tag == "script" and "src" not in given)
        if is_inline and not self._is_import_map(tag, given):
            self.found.append(f"<{tag}>")
        for name, value in given.items():
            if name == "style" or name.startswith("on"):
                self.found.append(f"{tag} {name}={value}")
            if name == "nonce":
                self.found.append(f"{tag} with a nonce")
            is_address = name in {"src", "href", "action", "poster", "hx-get", "hx-post"}
            if is_address and (value or "").startswith(("http:", "https:", "//", "javascript:")):
                self.found.append(f"{tag} {name}={value}")

    def _is_import_map(self, tag: str, given: dict[str, str | None]) -> bool:
        self.n_maps += tag == "script" and given.get("type") == "importmap"
        return self.n_maps == 1 and bool(given.pop("nonce", None))


def inline_parts(html: str) -> list[str]:
    """Return what of a page the policy forbids."""
    finder = InlineFinder()
    finder.feed(html)
    return finder.found


def press(reader: Client, button: str, run_id: str, **fields: object) -> HttpResponse:
    """Press a button and follow to the page that it leads to."""
    return reader.post(reverse(f"run-{button}", args=[run_id]), fields, follow=True)  # type: ignore[return-value]


def page(reader: Client, run: Run, part: str = "run") -> str:
    """Return a page of a run."""
    response = reader.get(reverse(part, args=[run.pk]))
    assert response.status_code == 200
    return response.content.decode()


def refusals(response: HttpResponse) -> dict[str, list[str]]:
    """Return the refused fields of the shown form."""
    assert response.status_code == 422
    form: RunForm = response.context["form"]  # type: ignore[attr-defined]
    return {name: [str(error) for error in errors] for name, errors in form.errors.items()}
