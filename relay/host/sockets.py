"""Sockets that listen, for SMTP and for HTTP."""

import socket


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A socket that listens there and does not block.

    Args:
        host: an address or a name; "::" is every address, IPv4's too.
        port: 0: any that is free.
        backlog: connections that may wait to be accepted.

    Raises:
        OSError: it cannot be had.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = infos[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Whoever checks a client's network knows IPv4 addresses in their IPv6 form.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
