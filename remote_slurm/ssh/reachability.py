"""Looks at the way to a site one link at a time, for `check`: what the service needs only as a whole.

Everything here blocks for at most the seconds it is given, and belongs into a thread.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import paramiko

from remote_slurm.errors import RemoteFailed, Unreachable
from remote_slurm.ssh.connect import Transport
from remote_slurm.ssh.framing import nonce
from remote_slurm.ssh.remote_shell import send_unless_closed, shown
from remote_slurm.ssh.tcp import open_tcp

_READ = 4096
_PROHIBITED, _CONNECT_FAILED = 1, 2  # RFC 4254, 5.1
_LONGEST_GREETING = 64 * 1024  # lines may come before the identification (RFC 4253, 4.2)


def greeting(host: str, port: int, seconds: float) -> str:
    """The identification of the SSH server there, such as `SSH-2.0-OpenSSH_9.2`. Raises Unreachable."""
    until = time.monotonic() + seconds
    received = b""
    with open_tcp(host, port, until, seconds) as sock:
        try:
            while not (identification := _identification(received)) and len(received) < _LONGEST_GREETING:
                sock.settimeout(max(0.1, until - time.monotonic()))
                data = sock.recv(_READ)
                if not data:
                    break
                received += data
        except OSError as error:
            raise Unreachable(
                f"{host} port {port} accepts connections, but sent nothing within {seconds:g} s"
            ) from error
    if not identification:
        raise Unreachable(
            f"{host} port {port} accepts connections, but no SSH server answers: it sent {_shown(received)}"
        )
    return identification


def _identification(received: bytes) -> str:
    *lines, _ = received.split(b"\n")
    return next((line.decode(errors="replace").strip() for line in lines if line.startswith(b"SSH-")), "")


def _shown(received: bytes) -> str:
    return repr(received[:60].decode(errors="replace").strip()) if received else "nothing"


@dataclass(frozen=True, slots=True)
class LoginShell:
    """What the account's login shell does before it gives way to /bin/sh."""

    noise: str
    seconds: float


def forwards(link: Transport, port: int, seconds: float) -> bool | None:
    """Whether the login node forwards connections of this account, by one to its own sshd; None if that is unclear."""
    try:
        channel = link.transport.open_channel("direct-tcpip", ("127.0.0.1", port), ("", 0), timeout=seconds)
    except paramiko.ChannelException as error:
        return {_PROHIBITED: False, _CONNECT_FAILED: True}.get(error.code)
    except (paramiko.SSHException, OSError, EOFError):
        return None
    channel.close()
    return True


def login_shell(link: Transport, seconds: float) -> LoginShell:
    """Start a session as all sessions are started. Raises RemoteFailed where no /bin/sh comes of it."""
    began = time.monotonic()
    mark = nonce()
    received = b""
    channel = None
    try:
        channel = link.transport.open_session(timeout=seconds)
        channel.settimeout(seconds)
        channel.set_combine_stderr(True)
        channel.exec_command("exec /bin/sh")
        # a shell that echoes its input does not print it
        send_unless_closed(channel, f"echo {mark[:8]}''{mark[8:]}\n".encode())
        while mark.encode() not in received:
            data = channel.recv(_READ)
            if not data:
                raise RemoteFailed(
                    f"the login shell ended without running `exec /bin/sh`, and printed {shown(received)}",
                    remedy="check for a forced command in authorized_keys, and the shell profile of the account",
                )
            received += data
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise RemoteFailed(
            f"the login shell did not run `exec /bin/sh` within {seconds:g} s, and printed {shown(received)}"
        ) from error
    finally:
        if channel:
            channel.close()
    noise = received.partition(mark.encode())[0].decode(errors="replace")
    return LoginShell(noise, time.monotonic() - began)
