"""The ASGI application: pages and REST over HTTP, live events over websockets."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rlgym.settings")
http_application = get_asgi_application()

from apps.api.limits import BodyLimit  # noqa: E402 - needs Django set up, like the next
from apps.live.routing import StreamsInOneThread, websocket_application  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": StreamsInOneThread(BodyLimit(http_application)),
        "websocket": websocket_application,
    }
)
