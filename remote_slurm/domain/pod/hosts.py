"""The host name of a pod's containers, and what they have in /etc/hosts beside what the node has."""

from __future__ import annotations

import ipaddress
import re

from remote_slurm.domain.pod.model import Pod
from remote_slurm.domain.shell import Call
from remote_slurm.errors import InvalidRequest

# DNS labels of RFC 1123, with dots between them, and one at the end of a name that is complete
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?")


def hosts_call(pod: Pod) -> Call:
    """The runner's call that makes the file. Raises InvalidRequest for what is no address or no host name."""
    lines = []
    for alias in pod.spec.host_aliases:
        try:
            ipaddress.ip_address(alias.ip)
        except ValueError:
            raise InvalidRequest(
                f"invalid hostAliases of pod {pod.full_name}: '{alias.ip}' is not an IP address"
            ) from None
        lines.append("\t".join((alias.ip, *(_checked(name, "hostAliases", pod) for name in alias.hostnames))))
    return "hosts", _checked(pod.hostname, "hostname", pod), *lines


def _checked(name: str, field: str, pod: Pod) -> str:
    if not _HOST_NAME.fullmatch(name):
        raise InvalidRequest(f"invalid {field} of pod {pod.full_name}: '{name}' is not a host name")
    return name
