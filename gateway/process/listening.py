"""Listening sockets."""

import errno
import socket

from gateway.declared.values import Address

_BACKLOG = 1024
_NO_IPV6 = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def listen(address: Address, *, shared: bool = False) -> list[socket.socket]:
    """Return a listening socket for each address that a host stands for; raise OSError.

    No host stands for every interface: one socket, for IPv6 and IPv4, or for IPv4 alone where there is no
    other. ``shared`` lets other processes listen on the same address.
    """
    host, port = address
    if not host:
        return [_listen_everywhere(port, shared=shared)]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:  # two points in a row, or over 63 characters between two
        msg = f"{host} cannot be the name of a host"
        raise OSError(msg) from None
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, place in dict.fromkeys(found):
            chosen = sockets[0].getsockname()[1] if sockets and not port else port
            at = (str(place[0]), chosen)
            sockets.append(socket.create_server(at, family=family, backlog=_BACKLOG, reuse_port=shared))
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


def bind_beside(listening: socket.socket) -> socket.socket:
    """Return a socket on the address of one that shares its port; raise OSError.

    It gets no connection before :func:`begin` is called for it.
    """
    beside = socket.socket(listening.family, socket.SOCK_STREAM)
    try:
        beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if listening.family == socket.AF_INET6:
            alone = listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            beside.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, alone)
        beside.bind(listening.getsockname())
    except OSError:
        beside.close()
        raise
    return beside


def begin(bound: socket.socket) -> socket.socket:
    """Have a socket listen, if it does not do so already; return it."""
    if not bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        bound.listen(_BACKLOG)
    return bound


def _listen_everywhere(port: int, *, shared: bool) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                ("", port), family=socket.AF_INET6, backlog=_BACKLOG, reuse_port=shared, dualstack_ipv6=True
            )
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
    return socket.create_server(("", port), backlog=_BACKLOG, reuse_port=shared)
