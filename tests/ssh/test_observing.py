"""The events that observers get of a connection and its sessions."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tenacity import wait_fixed

from remote_slurm.errors import Unreachable
from remote_slurm.ssh.circuit_breaker import Pace
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.sessions import Request, Sessions
from tests.sites import free_port
from tests.ssh.ssh_server import Sshd, eventually

EAGER = Pace(waits=wait_fixed(0), per_minute=10_000)
SECONDS = 120.0


@asynccontextmanager
async def sessions_at(sshd: Sshd, port: int = 0) -> AsyncIterator[Sessions]:
    connection = Connection(sshd.settings(Port=port or sshd.port), pace=EAGER)
    sessions = Sessions(connection)
    try:
        yield sessions
    finally:
        await sessions.close()
        await connection.close()


async def test_connects_round_trip_and_sessions(sshd: Sshd, tmp_path: Path) -> None:
    async with sessions_at(sshd) as sessions:
        before = sessions.connection_status
        assert (before.state.connected, before.state.connects, before.round_trip) == (False, 0, None)
        began = time.monotonic()
        await sessions.run(Request("sleep 0.5"), deadline=SECONDS)
        elapsed, status = time.monotonic() - began, sessions.connection_status
        assert (status.state.connected, status.state.connects, status.state.failures) == (True, 1, 0)
        assert status.round_trip is not None
        assert 0 < status.round_trip <= elapsed - 0.5, "the script's own time is no part of the round trip"
        assert status.sessions_limit == 8
        await eventually(lambda: sessions.connection_status.sessions_in_use == 0)
        script = f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"
        run = asyncio.create_task(sessions.run(Request(script), deadline=SECONDS))
        await eventually(lambda: sessions.connection_status.sessions_in_use == 1)
        (tmp_path / "go").touch()
        await run


async def test_connections_that_fail(sshd: Sshd) -> None:
    async with sessions_at(sshd, port=free_port()) as sessions:
        for _ in range(2):
            with pytest.raises(Unreachable):
                await sessions.run(Request("true"), deadline=SECONDS)
        connection = sessions.connection_status.state
        assert (connection.connected, connection.connects) == (False, 0)
        assert connection.failures >= 2
        assert connection.last_error
