"""What a sidecar says to a client that it does not serve, and why it cannot be reached: in words.

This module and those it imports are small: a shadow pod has little memory (tests/cli/test_cli_shadow.py).
"""

from __future__ import annotations

import os

import aiohttp

from remote_slurm.errors import RemoteSlurmError

_OK, _SWITCHING = 200, 101
_UNAUTHORIZED = 401


class Refused(RemoteSlurmError):
    """The sidecar said no, in these words; `status` is HTTP's."""

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        super().__init__(words)


async def refusal(response: aiohttp.ClientResponse) -> str:
    """The sentence of an answer that refuses something."""
    words = (await response.text()).strip() or str(response.reason)
    return f"{words}; --token-file FILE does" if response.status == _UNAUTHORIZED else words


async def raise_refusals(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Raise what a refusal says. aiohttp itself drops the body of a refused WebSocket."""
    response = await handler(request)
    if response.status not in (_OK, _SWITCHING):
        raise Refused(response.status, await refusal(response))
    return response


def connection_problem(error: Exception) -> str:
    """Why a sidecar cannot be reached, in words."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", error.certificate_error)
        return f"its certificate is not trusted ({why}): set --ca-file to the authority that signed it"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"it does not agree on HTTPS: {' '.join(str(error.os_error).split())}"
    if isinstance(error, aiohttp.ClientConnectorError):
        # asyncio's own words name the address once more; numbers of name servers are negative
        number = error.errno or 0
        return os.strerror(number) if number > 0 else "the name does not resolve"
    return " ".join(str(error).split()) or type(error).__name__
