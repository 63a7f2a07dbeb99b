"""`remote-slurm port-forward --shadow`: takes the place of a pod in the cluster, and forwards connections.

It runs in a pod that interLink creates for each pod with ports (examples/kubernetes/shadow). interLink reports
the address of that pod as the address of the offloaded one. The shadow pod is created before the other one, and waits
for whatever is missing. It ends with a signal only. Its modules are small, since each pod has such a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Sequence

from aiohttp import web

from remote_slurm.cli.forward_client import ForwardClient, accepting
from remote_slurm.cli.replies import Refused
from remote_slurm.errors import RemoteSlurmError, Unreachable
from remote_slurm.log import info, warning

# The state of the pod is in the sidecar's memory. A port where nothing listens costs the site a squeue each time.
# Both are asked for ever more seldom as long as nothing changes.
_FIRST_SECONDS, _STATE_SECONDS, _PORT_SECONDS = 0.5, 8.0, 60.0
_SERVER_ERROR = 500
_NOTHING_LISTENS = {502, 504}
_ALL = ""


class Shadow:
    """Listens on `ports`, pairs of an own port and that of the pod, and answers readiness probes on `health_port`."""

    def __init__(self, client: ForwardClient, ports: Sequence[tuple[int, int]], health_port: int) -> None:
        self._client = client
        self._ports = ports
        self._health_port = health_port
        self._state: dict[str, str] = {}
        self._problem = "the sidecar has not been asked yet"
        self._answering: set[int] = set()
        self._said = ""

    async def run(self, addresses: Sequence[str]) -> None:
        """Forward until SIGTERM or SIGINT. Raises RemoteSlurmError if a port cannot be listened on."""
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        async with contextlib.AsyncExitStack() as stack:
            for address in addresses or [_ALL]:
                for own, remote in self._ports:
                    bound = _bound(address, own)
                    server = await asyncio.start_server(accepting(self._handler(remote)), sock=bound)
                    stack.callback(server.close)
                    info("shadow pod listens", port=bound.getsockname()[1], forwards_to=remote)
                await self._serve_health(stack, address)
            tasks = [asyncio.create_task(work()) for work in (self._look, self._probe)]
            stop = asyncio.create_task(stopped.wait())
            done, _ = await asyncio.wait({*tasks, stop}, return_when=asyncio.FIRST_COMPLETED)
            for task in (*tasks, stop):
                task.cancel()
            await asyncio.gather(*tasks, stop, return_exceptions=True)
            for task in done:
                task.result()

    # --- connections ---

    def _handler(self, port: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # a client behind a Service may vanish without a word
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            try:
                await self._client.forward(port, reader, writer, lambda: self._answers(port))
            except RemoteSlurmError as error:
                self._fails(port, error)
                writer.transport.abort()
            finally:
                writer.close()

        return handle

    def _answers(self, port: int) -> None:
        self._said = ""
        self._answering.add(port)

    def _fails(self, port: int, error: RemoteSlurmError) -> None:
        if isinstance(error, Refused) and error.status in _NOTHING_LISTENS:
            self._answering.discard(port)
        reason = f"{port}: {error}"
        if reason != self._said:
            warning("a connection was not forwarded", port=port, reason=error)
        self._said = reason

    # --- readiness ---

    @property
    def not_ready(self) -> str:
        """Why connections would fail; empty if the pod runs and one of its ports answers."""
        if self._problem:
            return self._problem
        if not self._state["pod"]:
            return self._state["message"]
        if self._state["phase"] != "running":
            why = f": {self._state['message']}" if self._state["message"] else ""
            return f"pod {self._state['pod']} does not run ({self._state['phase']}){why}"
        if not self._ports:
            return f"pod {self._state['pod']} declares no TCP port"
        return "" if self._answering else f"no port of pod {self._state['pod']} answers"

    async def _look(self) -> None:
        """Keep the state of the pod."""
        said, pause = None, _FIRST_SECONDS
        while True:
            before = self._state, self._problem
            try:
                state = await self._client.state()
            except Unreachable as error:
                self._problem = self._problem and str(error)  # a sidecar that restarts is waited for by connections
            except Refused as error:
                if error.status < _SERVER_ERROR or self._problem:
                    self._problem = str(error)
            else:
                self._see(state)
            if (now := self.not_ready) != said:
                info(
                    "port forwarding is not ready" if now else "port forwarding is ready",
                    reason=now,
                    node=self._state.get("node", ""),
                )
                said = now
            pause = min(2 * pause, _STATE_SECONDS) if before == (self._state, self._problem) else _FIRST_SECONDS
            await asyncio.sleep(pause)

    def _see(self, state: dict[str, str]) -> None:
        if state["phase"] != "running" or state["node"] != self._state.get("node"):
            self._answering.clear()
        self._state, self._problem = state, ""

    async def _probe(self) -> None:
        """Connect to the ports until one of them answers: clients may wait until this says so."""
        pause = _FIRST_SECONDS
        while True:
            if self._answering or self._problem or self._state["phase"] != "running":
                pause = _FIRST_SECONDS
            else:
                await self._connect_to_any()
                pause = min(2 * pause, _PORT_SECONDS)
            await asyncio.sleep(pause)

    async def _connect_to_any(self) -> None:
        for _, port in self._ports:
            with contextlib.suppress(Refused, Unreachable):
                if await self._client.answers(port):
                    self._answers(port)
                    return

    async def _serve_health(self, stack: contextlib.AsyncExitStack, address: str) -> None:
        app = web.Application()
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/healthz", _healthz)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, _bound(address, self._health_port)).start()

    async def _readyz(self, _: web.Request) -> web.Response:
        why = self.not_ready
        return web.Response(status=503 if why else 200, text=why or "ready")


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok")


def _bound(address: str, port: int) -> socket.socket:
    """On one address, or on all of them, of both families if the machine has both."""
    family = socket.AF_INET6 if ":" in address or not address else socket.AF_INET
    try:
        try:
            return socket.create_server((address, port), family=family, dualstack_ipv6=not address, backlog=128)
        except OSError:
            if address:
                raise
            return socket.create_server((address, port), backlog=128)  # a machine without IPv6
    except (OSError, ValueError) as error:
        where = f"port {port} of {address or 'all addresses'}"
        why = getattr(error, "strerror", None) or error
        raise RemoteSlurmError(f"unable to listen on {where}: {why}") from error
