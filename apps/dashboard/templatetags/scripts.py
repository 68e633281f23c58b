"""How a page names its scripts to the browser."""

import orjson
from django import template
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from apps.dashboard.modules import import_map

register = template.Library()


@register.simple_tag
def module_names(request: HttpRequest) -> SafeString:
    """Write the import map, the one inline script that the policy lets through, by its nonce."""
    written = orjson.dumps(import_map()).decode().replace("<", "\\u003c")
    nonce = request.csp_nonce  # type: ignore[attr-defined]  # django-csp's middleware sets it.
    return format_html(
        '<script type="importmap" nonce="{}">{}</script>', str(nonce), mark_safe(written)
    )
