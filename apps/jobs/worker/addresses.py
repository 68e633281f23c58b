"""Where a web server listens: whether that is possible, and what its address is."""

import errno
import ipaddress
import socket
from contextlib import suppress

import psutil

LOOPBACKS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
PORTS = range(1, 65_536)
# What servers ask for, so that connections that end do not hold a port for a minute.
REUSE = (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


class AddressRefused(Exception):
    """Nobody can listen there now; the message says why and what to do."""


def url_of(host: str, port: int) -> str:
    """Return the address at which a browser of this machine finds a server."""
    bare = host.strip("[]")
    bare = LOOPBACKS.get(bare, bare)
    return f"http://{f'[{bare}]' if ':' in bare else bare}:{port}"


def refuse_unusable(host: str, port: int) -> None:
    """Refuse an address that a web server could not listen on at this moment.

    Raises:
        AddressRefused: It is none, not this machine's, not allowed, or another program has it.
    """
    if port not in PORTS:
        raise AddressRefused(f"--port {port} is not allowed; it must be from 1 to {PORTS[-1]}")
    family, address = _resolved(host)
    try:
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(*REUSE)
            listener.bind((address, port))
            # Linux lets two bind who allow it; only one of them may listen.
            listener.listen(1)
    except OSError as error:
        raise AddressRefused(_words(host, port, error)) from error


def _resolved(host: str) -> tuple[socket.AddressFamily, str]:
    """Return the one address that the web server takes a host for; of a name, its IPv4 one."""
    bare = host.strip("[]")
    with suppress(ValueError):
        is_v6 = ipaddress.ip_address(bare).version == 6
        return (socket.AF_INET6 if is_v6 else socket.AF_INET), bare
    try:
        if not bare:
            raise socket.gaierror(socket.EAI_NONAME, "it is empty")
        found = socket.getaddrinfo(bare, None, socket.AF_INET, socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        words = error.strerror if isinstance(error, socket.gaierror) else "it is no host name"
        raise AddressRefused(
            f"--host {host!r} cannot be found ({words}); use 127.0.0.1, or 0.0.0.0 for all of "
            "this machine's addresses"
        ) from error
    return socket.AF_INET, str(found[0][4][0])


def _words(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken by {_holder(port)}; end it, or choose another port "
            "with --port"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return (
            f"port {port} needs rights that you do not have; choose one from 1024 on with --port"
        )
    if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
        return (
            f"--host {host} is no address of this machine; use 127.0.0.1, or 0.0.0.0 for all of "
            "its addresses"
        )
    return f"nobody can listen on port {port} of {host}: {error.strerror}; try another with --port"


def _holder(port: int) -> str:
    """Say which program listens on a port, as far as this user may know."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            is_it = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,)
            if is_it and connection.pid:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "another program"
