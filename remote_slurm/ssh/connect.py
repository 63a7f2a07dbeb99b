"""One attempt to reach one login node: through the jump hosts, each with a verified host key, to a logged-in transport.

Everything here blocks and runs in a thread. Every step takes what is left of ConnectTimeout, and `abort` from outside
ends whatever it waits for.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fabric
import paramiko

from remote_slurm.config import SSH, JumpHost
from remote_slurm.config.ssh import jump_hosts
from remote_slurm.errors import NoCommonAlgorithm, NotSent, Unreachable
from remote_slurm.ssh import authentication, ssh_config
from remote_slurm.ssh.host_keys import KnownHost, KnownHostPolicy
from remote_slurm.ssh.tcp import CountedSocket, open_tcp, reason
from remote_slurm.ssh.transport import Algorithms, ParamikoTransport

# What Paramiko logs are tracebacks of errors that are translated and raised here: they stay out of the user's log.
_LOG = "remote_slurm.ssh.paramiko"
logging.getLogger(_LOG).propagate = False
logging.getLogger(_LOG).addHandler(logging.NullHandler())

# A larger window than Paramiko's 2 MiB: a window per round trip is all that a channel can transfer.
WINDOW = 8 * 1024 * 1024
# Four times what Paramiko lets the site put into one packet: each costs the same, however long it is. OpenSSH's own
# limit is 256 KiB.
PACKET = 128 * 1024
_SILENT_INTERVALS = 3
_DEFAULT_SILENCE = 60.0


@dataclass(frozen=True, slots=True)
class Transport:
    """A live, logged-in connection to `host`, through its hops."""

    host: str
    transport: paramiko.Transport
    wires: tuple[CountedSocket, ...]
    hops: tuple[fabric.Connection, ...]
    remarks: tuple[str, ...] = ()  # on the configuration, for people

    @property
    def wire(self) -> CountedSocket:
        """The bytes under the session's own transport."""
        return self.wires[-1]

    @property
    def alive(self) -> bool:
        """False once the transport has noticed its end; a frozen peer is not noticed by that."""
        return self.transport.is_active()

    def close(self) -> None:
        """Close at once, whatever the peer does: every call that waits on this link returns."""
        _close(self.hops, self.wires)


def _close(hops: Sequence[fabric.Connection], wires: Sequence[CountedSocket] = ()) -> None:
    # The first hop holds the TCP socket: with it gone, closing the others cannot block on it.
    for hop in hops:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            hop.client.close()
    for wire in wires:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            wire.close()


class Connector:
    """One attempt; `run` in a thread, `abort` from anywhere."""

    def __init__(self, settings: SSH, host: str) -> None:
        self._settings = settings
        self._host = host
        self._until = 0.0
        self._lock = threading.Lock()
        self._aborted = False
        self._wires: list[CountedSocket] = []
        self._hops: list[fabric.Connection] = []
        self._remarks: list[str] = []

    def run(self) -> Transport:
        """Connect and log in within ConnectTimeout; Unreachable, HostKeyRefused, AuthenticationRefused."""
        self._until = time.monotonic() + self._settings.connect_timeout
        try:
            for hop in self._route():
                self._pass(hop)
        except BaseException:
            self.abort()
            raise
        target = self._hops[-1]
        return Transport(target.host, target.transport, tuple(self._wires), tuple(self._hops), tuple(self._remarks))

    def abort(self) -> None:
        """Close everything that is open so far."""
        with self._lock:
            self._aborted = True
            hops, wires = tuple(self._hops), tuple(self._wires)
        _close(hops, wires)

    def _route(self) -> list[fabric.Connection]:
        config = self._config()
        target = fabric.Connection(
            self._host,
            user=self._settings.user,
            port=self._settings.port if "port" in self._settings.model_fields_set else None,
            config=config,
            gateway=False,
        )
        route = [*(self._jump(hop, config) for hop in self._jumps(target)), target]
        for hop in route:
            ssh_config.refuse_what_must_not_be_left_out(hop.ssh_config, self._settings, hop.original_host)
            if remark := ssh_config.unused(hop.ssh_config, self._settings, hop.original_host):
                self._remarks.append(remark)
        return route

    def _jump(self, hop: JumpHost, config: fabric.Config) -> fabric.Connection:
        user = hop.user or self._settings.user
        return fabric.Connection(hop.host, user=user, port=hop.port, config=config, gateway=False)

    def _config(self) -> fabric.Config:
        # An SSHConfig given in hand keeps Fabric from reading ~/.ssh/config, and lazy from reading fabric.yaml.
        return fabric.Config(ssh_config=ssh_config.read(self._settings.config_file), lazy=True)

    def _jumps(self, target: fabric.Connection) -> tuple[JumpHost, ...]:
        # Fabric would build the chain of an ssh_config as well, with connections that accept any host key.
        named: tuple[JumpHost, ...] = jump_hosts(target.ssh_config.get("proxyjump", "none"))
        return self._settings.proxy_jump or named

    def _pass(self, hop: fabric.Connection) -> None:
        wire = CountedSocket(self._through(hop))
        with self._lock:
            self._wires.append(wire)
            self._hops.append(hop)
            aborted = self._aborted
        if aborted:
            wire.close()
            limit = self._settings.connect_timeout
            raise self._unreachable(
                hop, f"the sidecar ended the attempt after {limit:g} s (ConnectTimeout), or because it stops"
            )
        self._log_in(hop, wire)

    def _through(self, hop: fabric.Connection) -> Any:
        if not self._hops:
            silence = self._settings.server_alive_interval * _SILENT_INTERVALS or _DEFAULT_SILENCE
            return open_tcp(hop.host, hop.port, self._until, silence)
        previous = self._hops[-1]
        try:
            return previous.transport.open_channel(
                "direct-tcpip", (hop.host, hop.port), ("", 0), window_size=WINDOW, timeout=self._left()
            )
        except paramiko.ChannelException as error:
            raise self._unreachable(hop, f"the jump host {previous.host} reports: {error.text}") from error
        except paramiko.SSHException as error:
            raise self._unreachable(hop, f"the jump host {previous.host} does not answer") from error

    def _log_in(self, hop: fabric.Connection, wire: CountedSocket) -> None:
        alias = hop.ssh_config.get("hostkeyalias", "")
        known = KnownHost(self._settings.user_known_hosts_file, hop.host, hop.port, alias)
        algorithms = Algorithms(self._settings, hop.ssh_config, known)
        login = authentication.Authentication(hop.user, hop.host, self._identities(hop))
        hop.client.set_missing_host_key_policy(KnownHostPolicy(known))
        hop.client.set_log_channel(_LOG)
        hop.connect_timeout = None  # Fabric's is a whole number of seconds; `timeout` below takes its place
        hop.connect_kwargs = {
            "sock": wire,
            "timeout": self._left(),
            "banner_timeout": self._left(),
            "auth_timeout": self._left(),
            "auth_strategy": login,
            "transport_factory": lambda sock, **options: self._transport(sock, algorithms, options),
        }
        try:
            hop.open()
        except NotSent:
            raise
        except paramiko.ssh_exception.IncompatiblePeer as error:
            conflicts = "; ".join(algorithms.conflicts) or str(error)
            raise NoCommonAlgorithm(
                f"{hop.host} port {hop.port} has no algorithm in common with this program: {conflicts}"
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._unreachable(hop, f"{self._why(error)}{login.server_message}") from error

    def _transport(self, sock: Any, algorithms: Algorithms, options: dict[str, Any]) -> paramiko.Transport:
        transport = ParamikoTransport(sock, algorithms, default_window_size=WINDOW, **options)
        transport.handshake_timeout = self._left()
        return transport

    def _identities(self, hop: fabric.Connection) -> Generator[authentication.Credential, None, None]:
        settings = self._settings
        if settings.identity_file:
            yield from authentication.from_file(
                authentication.KeyFile(settings.identity_file, settings.certificate_file, settings.passphrase_file)
            )
        if not settings.identities_only:
            for name in hop.ssh_config.get("identityfile", []):
                yield from authentication.from_optional_file(Path(name).expanduser())
            yield from authentication.from_home()

    def _left(self) -> float:
        return max(0.1, self._until - time.monotonic())

    def _why(self, error: Exception) -> str:
        if time.monotonic() >= self._until or self._aborted:
            return f"no SSH server answered within {self._settings.connect_timeout:g} s (ConnectTimeout)"
        if isinstance(error, OSError):
            return reason(error)
        return f"it closed the connection before the login was complete ({error or type(error).__name__})"

    def _unreachable(self, hop: fabric.Connection, why: str) -> Unreachable:
        return Unreachable(f"cannot reach {hop.host} port {hop.port}: {why}")
