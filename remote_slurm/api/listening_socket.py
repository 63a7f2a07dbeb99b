"""Sockets that servers listen on; shadow pods import it, which have little memory."""

import socket


def bound_port(address: str, port: int) -> socket.socket:
    """A socket that is bound to the address alone: an IPv6 one takes no IPv4 connections. Raises OSError."""
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address, port))
    except BaseException:
        bound.close()
        raise
    return bound
