"""Calls that run in threads: their results and their errors reach who waits for them."""

import asyncio

import pytest

from remote_slurm.ssh.threads import in_thread


async def test_a_stop_iteration_of_a_call_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        async with asyncio.timeout(20):
            await in_thread("test", next, iter(()))
