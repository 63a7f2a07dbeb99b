"""`remote-slurm port-forward`: local ports that lead to ports of a pod."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from remote_slurm import log
from remote_slurm.api.listening_socket import bound_port
from remote_slurm.cli import credentials
from remote_slurm.cli.forward_client import ForwardClient, Pod, accepting, at
from remote_slurm.cli.naming import named_in
from remote_slurm.cli.options import add_config_options, add_pod_argument, add_url_option, configured
from remote_slurm.cli.replies import Refused
from remote_slurm.cli.screen import visible
from remote_slurm.errors import RemoteSlurmError, Unreachable

if TYPE_CHECKING:
    from remote_slurm.config import Config  # a shadow pod has little memory

_HELP = """\
Forward local ports to ports of a pod, as `kubectl port-forward` does, until Ctrl-C or the end of the pod. A pod that is
pending is waited for. Connections end when the pod's job is requeued or the sidecar restarts; later ones are made anew.

POD is NAMESPACE/NAME, NAMESPACE/UID, a name in --namespace, or a file. The sidecar needs PortForward.Port.

With --shadow, the command runs in a shadow pod of interLink. POD is the name of its Deployment, and the ports are those
of the pod. It waits for whatever is missing, and ends with a signal only. GET /readyz on --health-port is answered with
200 while the pod runs and one of its ports answers.
"""

_EXAMPLES = """\
examples:
  remote-slurm port-forward --config SlurmConfig.yaml default/notebook 8888         local port 8888 to port 8888
  remote-slurm port-forward --config SlurmConfig.yaml default/notebook 9000:8888 6006
  remote-slurm port-forward --url https://sidecar:4002 --token-file token -n team notebook :8888     any free local port
  remote-slurm port-forward --config SlurmConfig.yaml --address 0.0.0.0 default/notebook 8888
  remote-slurm port-forward --shadow --url https://sidecar:4002 --token-file token -n team-wstunnel notebook-team 8888
"""

_HIGHEST = 65535
_HEALTH_PORT = 9440
_LOOK_SECONDS = 2.0
_NOT_FOUND, _SERVER_ERROR = 404, 500
# Phases of a pod whose job has ended
_OVER = {"succeeded", "failed"}


@dataclass(frozen=True, slots=True)
class Ports:
    """A local port, 0 for any free one, and the port of the pod."""

    local: int
    remote: int


def ports(text: str) -> Ports:
    """Read [LOCAL:]REMOTE."""
    local, colon, remote = text.rpartition(":")
    numbers = (local or "0", remote) if colon else (remote, remote)
    if not all(each.isascii() and each.isdigit() and int(each[:6]) <= _HIGHEST for each in numbers):
        raise argparse.ArgumentTypeError(
            f"must be [LOCAL:]REMOTE, such as 8888, 9000:8888 or :8888, with ports up to {_HIGHEST}, not {text!r}"
        )
    found = Ports(*map(int, numbers))
    if not found.remote:
        raise argparse.ArgumentTypeError(f"needs a port of the pod from 1 to {_HIGHEST}, not {text!r}")
    return found


def port(text: str) -> int:
    """Read one port."""
    found = ports(text)
    if found.local != found.remote:
        raise argparse.ArgumentTypeError(f"must be a port from 1 to {_HIGHEST}, not {text!r}")
    return found.remote


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_pod_argument(parser)
    parser.add_argument(
        "ports", metavar="[LOCAL:]REMOTE", type=ports, nargs="*", help="local port, and the port of the pod"
    )
    parser.add_argument(
        "--address",
        default="",
        metavar="ADDRESS,...",
        help="addresses to listen on, separated by commas (default: localhost; with --shadow, all addresses)",
    )
    parser.add_argument(
        "-n", "--namespace", default="default", help="namespace of a POD that is a name alone (default: default)"
    )
    parser.add_argument(
        "--shadow", action="store_true", help="run in a shadow pod of interLink, and forward to the offloaded pod"
    )
    parser.add_argument(
        "--health-port",
        type=port,
        default=_HEALTH_PORT,
        metavar="PORT",
        help=f"port for readiness probes with --shadow (default: {_HEALTH_PORT})",
    )
    add_config_options(parser)
    add_url_option(parser, "PortForward.Port of the configuration", from_environment=False)  # another port


def run(arguments: argparse.Namespace) -> int:
    named = named_in(arguments.pod)
    namespace, slash, pod = named.partition("/")
    if not slash:
        namespace, pod = arguments.namespace, named
    if arguments.shadow:
        return asyncio.run(_shadow(arguments, Pod(namespace, pod, by_shadow=True)))
    if not arguments.ports:
        raise RemoteSlurmError("no port is given: name at least one port of the pod, such as 8888")
    return asyncio.run(_forward(arguments, Pod(namespace, pod)))


async def _shadow(arguments: argparse.Namespace, pod: Pod) -> int:
    from remote_slurm.cli.shadow import Shadow  # with an HTTP server, which no other command here needs

    log.configure(verbose=False, errors_only=False)
    if any(arguments.health_port == each.local for each in arguments.ports):
        raise RemoteSlurmError(
            f"port {arguments.health_port} of the pod is the one for readiness probes: choose another --health-port"
        )
    addresses = arguments.address.split(",") if arguments.address else []
    async with _client(arguments, pod) as client:
        shadow = Shadow(client, [(each.local, each.remote) for each in arguments.ports], arguments.health_port)
        await shadow.run(addresses)
    return 0


async def _forward(arguments: argparse.Namespace, pod: Pod) -> int:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopped.set)
    async with _client(arguments, pod) as client:
        addresses = (arguments.address or "localhost").split(",")
        forwarding = asyncio.create_task(_Forwarding(client).run(addresses, arguments.ports))
        stop = asyncio.create_task(stopped.wait())
        try:
            await asyncio.wait({forwarding, stop}, return_when=asyncio.FIRST_COMPLETED)
            if forwarding.done():
                forwarding.result()
        finally:
            for task in (forwarding, stop):
                task.cancel()
            await asyncio.gather(forwarding, stop, return_exceptions=True)
    return 0


@contextlib.asynccontextmanager
async def _client(arguments: argparse.Namespace, pod: Pod) -> AsyncIterator[ForwardClient]:
    if arguments.url:
        url, shown = arguments.url, credentials.named(arguments)
    else:
        config = configured(arguments)
        url, shown = _listening_at(config), credentials.configured_for_forwards(config)
    async with at(url, shown, pod) as client:
        yield client


def _listening_at(config: Config) -> str:
    block = config.port_forward
    if not block.port:
        raise RemoteSlurmError(
            "PortForward.Port is not set in this configuration: set it and restart the sidecar, or name another "
            "sidecar with --url"
        )
    host = f"[{block.bind_address}]" if ":" in block.bind_address else block.bind_address
    return f"{'https' if block.tls.enabled else 'http'}://{host}:{block.port}"


class _Forwarding:
    """Listens, and makes a connection to the pod for each one that comes."""

    def __init__(self, client: ForwardClient) -> None:
        self._client = client
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._said = ""

    async def run(self, addresses: list[str], wanted: list[Ports]) -> None:
        """Forward until the pod ends. Raises RemoteSlurmError then, as kubectl reports an error."""
        await self._until_running()
        async with contextlib.AsyncExitStack() as stack:
            for each in wanted:
                await self._listen(stack, addresses, each)
            looking = asyncio.create_task(self._look())
            stack.callback(looking.cancel)
            await asyncio.wait({looking, self._ended}, return_when=asyncio.FIRST_COMPLETED)
            (looking if looking.done() else self._ended).result()

    # --- the pod ---

    async def _until_running(self) -> None:
        while (state := await self._client.state())["phase"] == "waiting":
            why = f" ({state['message']})" if state["message"] else ""
            self._say(f"pod {state['pod']} is pending{why}: waiting until it runs")
            await asyncio.sleep(_LOOK_SECONDS)
        self._check(state)

    async def _look(self) -> None:
        """Raises RemoteSlurmError once the pod has ended."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                state = await self._client.state()
            except Unreachable as error:
                self._say(f"{error}: waiting until it answers")
                continue
            except Refused as error:
                if error.status == _NOT_FOUND:
                    raise RemoteSlurmError(f"lost connection to pod: {error}") from error
                if error.status < _SERVER_ERROR:
                    raise
                continue
            self._said = ""
            self._check(state)

    def _check(self, state: dict[str, str]) -> None:
        if state["phase"] in _OVER:
            why = f": {state['message']}" if state["message"] else ""
            raise RemoteSlurmError(f"lost connection to pod: {state['pod']} has ended{why}")

    def _say(self, text: str) -> None:
        if text != self._said:
            print(visible(text), file=sys.stderr, flush=True)
        self._said = text

    # --- connections ---

    async def _listen(self, stack: contextlib.AsyncExitStack, addresses: list[str], wanted: Ports) -> None:
        local, problems = wanted.local, []
        for address in [each for name in addresses for each in _numbers(name.strip())]:
            try:
                bound = bound_port(address, local)
            except OSError as error:
                problems.append(f"{_shown(address)}:{local}: {error.strerror or error}")
                if address != "::1":  # a machine without IPv6 has no such address
                    break
                continue
            local = bound.getsockname()[1]
            server = await asyncio.start_server(accepting(self._handler(local, wanted.remote)), sock=bound)
            stack.callback(server.close)
            print(f"Forwarding from {_shown(address)}:{local} -> {wanted.remote}", flush=True)
            problems = problems if address == "::1" else []
        if problems and not all("[::1]" in each for each in problems):
            raise RemoteSlurmError(f"unable to listen on {'; '.join(problems)}")

    def _handler(self, local: int, remote: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            print(f"Handling connection for {local}", flush=True)
            try:
                await self._client.forward(remote, reader, writer)
            except RemoteSlurmError as error:
                sentence = visible(f"an error occurred forwarding {local} -> {remote}: {error}")
                print(sentence, file=sys.stderr, flush=True)
                writer.transport.abort()
            finally:
                writer.close()

        return handle


def _numbers(name: str) -> list[str]:
    """The addresses that a name stands for; localhost has two, as in kubectl."""
    return ["127.0.0.1", "::1"] if name == "localhost" else [name.strip("[]")]


def _shown(address: str) -> str:
    return f"[{address}]" if ":" in address else address
