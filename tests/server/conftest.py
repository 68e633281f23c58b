"""The web server that the tests of this folder share."""

from collections.abc import Iterator

import pytest

from tests.server.web_server import WebServer


@pytest.fixture(scope="package")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """The web server, for all tests of this folder."""
    server = WebServer(tmp_path_factory.mktemp("web"))
    server.start()
    yield server
    server.stop()
