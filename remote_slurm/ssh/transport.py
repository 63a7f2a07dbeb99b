"""Paramiko's transport with the algorithms of the configuration, and with what the server accepts remembered."""

import threading
from collections.abc import Mapping
from typing import Any

import paramiko

from remote_slurm.config import SSH
from remote_slurm.config.algorithms import KEX_ALIASES, Kind, default
from remote_slurm.ssh import ssh_config
from remote_slurm.ssh.host_keys import KnownHost

_KEX_TABLE: Mapping[str, Any] = paramiko.Transport._kex_info  # type: ignore[attr-defined]  # noqa: SLF001
# Paramiko's names for the lists of a KEXINIT message (RFC 4253, 7.1)
_KEX = "kex_algo_list"
_HOST_KEYS = "server_key_algo_list"
_CIPHERS = ("client_encrypt_algo_list", "server_encrypt_algo_list")
_MACS = ("client_mac_algo_list", "server_mac_algo_list")
_MOST_REFUSED = 1000


class Algorithms:
    """What is offered to a host, and how that compares with what the host accepts."""

    def __init__(self, settings: SSH, found: Mapping[str, Any], known: KnownHost) -> None:
        """`found` has the settings of the host in ConfigFile; the block SSH overrides them."""

        def chosen(kind: Kind, configured: tuple[str, ...]) -> tuple[str, ...]:
            return configured or ssh_config.algorithms(found, kind) or default(kind)

        self.ciphers = chosen(Kind.CIPHERS, settings.ciphers)
        self.macs = chosen(Kind.MACS, settings.macs)
        self.kex = chosen(Kind.KEX, settings.kex_algorithms)
        self.host_keys = known.prefer(chosen(Kind.HOST_KEYS, settings.host_key_algorithms))
        self.accepted: dict[str, list[str]] = {}

    @property
    def conflicts(self) -> list[str]:
        """A sentence for each keyword of which the host accepts nothing that is offered; empty if nothing is known."""
        lists = (
            (Kind.KEX, self.kex, (_KEX,)),
            (Kind.HOST_KEYS, self.host_keys, (_HOST_KEYS,)),
            (Kind.CIPHERS, self.ciphers, _CIPHERS),
            (Kind.MACS, self.macs, _MACS),
        )
        return [
            f"{kind.keyword}: it accepts only {', '.join(self.accepted[name]) or 'nothing'}, and offered are only "
            f"{', '.join(offered) or 'none'}"
            for kind, offered, names in lists
            for name in names[:1]
            if name in self.accepted and not all(set(offered) & set(self.accepted[each]) for each in names)
        ]


class ParamikoTransport(paramiko.Transport):
    """One SSH connection to one host; Paramiko runs its negotiation in a thread."""

    _kex_info = {**_KEX_TABLE, **{name: _KEX_TABLE[same] for name, same in KEX_ALIASES.items() if same in _KEX_TABLE}}  # noqa: RUF012 - as Paramiko has it

    def __init__(self, sock: Any, algorithms: Algorithms, **options: Any) -> None:
        super().__init__(sock, **options)
        self._algorithms = algorithms
        self._preferred_ciphers = tuple(algorithms.ciphers)
        self._preferred_macs = tuple(algorithms.macs)
        self._preferred_kex = tuple(algorithms.kex)
        self._refused: dict[int, tuple[int, str]] = {}
        self._asked_for = threading.local()

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The host key algorithms; Paramiko itself would add those of certificates after all others."""
        return tuple(self._algorithms.host_keys)

    def why_refused(self) -> tuple[int, str] | None:
        """Why the channel that this thread asked for last was not opened: the reason (RFC 4254, 5.1) and the words.

        None if the server has not refused it. Paramiko keeps one reason for all channels, and loses the words.
        """
        return self._refused.pop(getattr(self._asked_for, "channel", -1), None)

    def _next_channel(self) -> int:
        channel: int = super()._next_channel()  # type: ignore[misc]
        self._asked_for.channel = channel
        return channel

    def _parse_channel_open_failure(self, m: Any) -> None:
        channel, reason, words = m.get_int(), m.get_int(), m.get_string().decode(errors="replace")
        if len(self._refused) >= _MOST_REFUSED:  # reasons that no caller has read
            self._refused.clear()
        self._refused[channel] = (reason, words)
        m.rewind()
        super()._parse_channel_open_failure(m)  # type: ignore[misc]

    def _really_parse_kex_init(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        parsed: dict[str, Any] = super()._really_parse_kex_init(*arguments, **options)  # type: ignore[misc]
        if _CIPHERS[0] in parsed and not self._algorithms.accepted:
            self._algorithms.accepted = {
                name: [each for each in value if not each.startswith(("ext-info-", "kex-strict-"))]
                for name, value in parsed.items()
                if isinstance(value, list)
            }
        return self._without_needless_macs(parsed)

    def _without_needless_macs(self, parsed: dict[str, Any]) -> dict[str, Any]:
        """Agree on any MAC where the ciphers need none: Paramiko asks for one, OpenSSH does not."""
        for cipher_list, mac_list in zip(_CIPHERS, _MACS, strict=True):
            cipher = next((name for name in self._algorithms.ciphers if name in parsed[cipher_list]), "")
            if "gcm" in cipher or "poly1305" in cipher:
                parsed[mac_list] = [*parsed[mac_list], *self._algorithms.macs]
        return parsed
