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
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
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
