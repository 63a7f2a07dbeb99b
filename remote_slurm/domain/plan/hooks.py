"""postStart, preStop and probe handlers as arguments of the runner's functions (job/probe_handlers.sh)."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from remote_slurm.domain.plan.hidden_words import expanded_words
from remote_slurm.domain.pod.lifecycle import Handler, HttpGet
from remote_slurm.domain.pod.model import Container
from remote_slurm.domain.shell import Call, Hidden
from remote_slurm.errors import InvalidRequest

# The job has the node's network, and so has the container: what is the pod's address in Kubernetes is the node's own
_POD_ADDRESS = "127.0.0.1"
_HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


def hook_calls(container: Container) -> Iterator[Call]:
    """Raises InvalidRequest for a hook that cannot be carried out."""
    lifecycle = container.lifecycle
    if lifecycle.stop_signal:
        yield "stop_signal", lifecycle.stop_signal.removeprefix("SIG")
    for name, call, hook in (
        ("postStart", "post_start", lifecycle.post_start),
        ("preStop", "pre_stop", lifecycle.pre_stop),
    ):
        if hook is not None:
            what = f"{name} of container '{container.name}'"
            if hook.tcp_socket is not None or hook.grpc is not None:
                wrong = "tcpSocket" if hook.tcp_socket is not None else "grpc"
                raise InvalidRequest(f"{what} must be exec, httpGet or sleep, not {wrong}")
            yield call, *action(hook, container, what)


def needs_exec(handler: Handler | None) -> bool:
    """Whether it may have to run something inside the container."""
    return handler is not None and (handler.exec is not None or handler.grpc is not None)


def action(handler: Handler, container: Container, what: str, values: Mapping[str, str] = _NO_VARIABLES) -> Call:
    """One call of the runner; exit code 0 is success. Raises InvalidRequest with a sentence that begins with `what`.

    `values` has the variables that a command may name as $(NAME): a kubelet expands the commands of probes only.
    """
    given = [name for name in ("exec", "http_get", "tcp_socket", "grpc", "sleep") if getattr(handler, name) is not None]
    if len(given) != 1:
        raise InvalidRequest(f"{what} must have exactly one action, and has {len(given)}")
    if handler.exec is not None:
        if not handler.exec.command:
            raise InvalidRequest(f"{what} has no command to execute")
        return "exec_in_container", *expanded_words(handler.exec.command, values, container.name)
    if handler.http_get is not None:
        return _http_get(handler.http_get, container, what)
    if handler.tcp_socket is not None:
        tcp = handler.tcp_socket
        return "tcp_socket", _host(tcp.host, what), _port(tcp.port, container, what)
    if handler.grpc is not None:
        return "grpc", str(handler.grpc.port), handler.grpc.service
    return "sleep", str(handler.sleep.seconds if handler.sleep else 0)


def _http_get(get: HttpGet, container: Container, what: str) -> Call:
    for header in get.http_headers:
        if not _HEADER_NAME.fullmatch(header.name) or _CONTROL.search(header.value):
            raise InvalidRequest(
                f"invalid HTTP header {header.name!r} of {what}: the name must be an HTTP token, and the value "
                "must not "
                "contain control characters"
            )
    return (
        "http_get",
        get.scheme.lower(),
        _host(get.host, what),
        _port(get.port, container, what),
        Hidden(_path(get.path)) if "?" in get.path else _path(get.path),  # a query may hold a token
        *(Hidden(f"{header.name}: {header.value}") for header in get.http_headers),
    )


def _path(path: str) -> str:
    """Query included, fragment left out, and what no request line can hold escaped."""
    wanted = urllib.parse.quote(path.partition("#")[0], safe="%/:?&=@!$'()*+,;~")
    return wanted if wanted.startswith("/") else f"/{wanted}"


def _host(host: str, what: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]*", host):
        raise InvalidRequest(f"invalid host {host!r} of {what}: must be a host name or an IP address")
    return host or _POD_ADDRESS


def _port(port: int | str, container: Container, what: str) -> str:
    if isinstance(port, int):
        return str(port)
    found = next((each.container_port for each in container.ports if each.name == port), None)
    if found is None:
        raise InvalidRequest(
            f"invalid port {port!r} of {what}: must be a number or the name of a port of the container"
        )
    return str(found)
