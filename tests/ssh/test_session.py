"""What a caller of `Sessions` can count on, whatever sshd, the login shell and the network do."""

import asyncio
import contextlib
import gc
import hashlib
import os
import signal
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tenacity import wait_fixed

from remote_slurm.errors import NotSent, OutcomeUnknown, RemoteFailed, Unreachable
from remote_slurm.ssh.circuit_breaker import Pace
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.sessions import PoolSize, Request, Result, Sessions
from tests.fault_proxy import Direction, FaultProxy
from tests.hypothesis_settings import SOAK
from tests.ssh.ssh_server import Sshd, StartSshd, eventually, ssh_threads

EAGER = Pace(waits=wait_fixed(0), per_minute=10_000)
SECONDS = 120.0


@contextlib.asynccontextmanager
async def sessions_at(server: Sshd, port: int = 0, size: PoolSize | None = None) -> AsyncIterator[Sessions]:
    connection = Connection(server.settings(Port=port or server.port), pace=EAGER)
    sessions = Sessions(connection, size)
    try:
        yield sessions
    finally:
        await sessions.close()
        await connection.close()


@pytest.fixture
def proxy(sshd: Sshd) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", sshd.port) as proxy:
        sshd.know(proxy.port)
        yield proxy


def lines_in(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def running(argument: str) -> bool:
    """Whether a process has this in its command line."""
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it is not one, or has ended
            if argument.encode() in (process / "cmdline").read_bytes():
                return True
    return False


# what a run is


async def test_a_run_is_output_and_exit_code(sshd: Sshd) -> None:
    async with sessions_at(sshd) as sessions:
        result = await sessions.run(Request("echo out; echo err >&2; exit 3"), deadline=SECONDS)
        assert result == Result(3, b"out\nerr\n")


@pytest.mark.parametrize("size", [0, 1, 100_000, 5_000_000])
async def test_a_payload_arrives_as_it_is(sshd: Sshd, size: int) -> None:
    payload = os.urandom(size)
    script = 'sha256sum; echo "$payload_size"'
    async with sessions_at(sshd) as sessions:
        for _ in range(2):
            result = await sessions.run(Request(script, payload), deadline=SECONDS)
            assert result == Result(0, f"{hashlib.sha256(payload).hexdigest()}  -\n{size}\n".encode())


async def test_a_long_answer_arrives_as_it_is(sshd: Sshd) -> None:
    payload = os.urandom(5_000_000)
    async with sessions_at(sshd) as sessions:
        assert (await sessions.run(Request("cat", payload), deadline=SECONDS)).output == payload


async def test_an_answer_without_end_is_an_error(sshd: Sshd) -> None:
    async with sessions_at(sshd) as sessions:
        with pytest.raises(OutcomeUnknown, match="longer than 64 MiB"):
            await sessions.run(Request("yes"), deadline=SECONDS)
        assert (await sessions.run(Request("echo next"), deadline=SECONDS)).output == b"next\n"


async def test_runs_follow_each_other_in_the_same_session(sshd: Sshd) -> None:
    async with sessions_at(sshd) as sessions:
        shells = {(await sessions.run(Request("echo $$"), deadline=SECONDS)).output for _ in range(10)}
        assert len(shells) <= 3


async def test_a_session_is_renewed_after_a_while(sshd: Sshd) -> None:
    async with sessions_at(sshd, size=PoolSize(renew_after=0)) as sessions:
        shells = {(await sessions.run(Request("echo $$"), deadline=SECONDS)).output for _ in range(10)}
        assert len(shells) == 10


async def test_fifty_runs_at_once_in_no_more_than_eight_sessions(sshd: Sshd) -> None:
    async with sessions_at(sshd) as sessions:
        runs = (sessions.run(Request(f"sleep 0.05; echo {number}; echo $$"), deadline=SECONDS) for number in range(50))
        results = await asyncio.gather(*runs)
    answers = [result.output.split() for result in results]
    assert [int(number) for number, _ in answers] == list(range(50))
    assert len({shell for _, shell in answers}) <= 8


async def test_a_warm_run_costs_one_round_trip(sshd: Sshd, proxy: FaultProxy) -> None:
    async with sessions_at(sshd, proxy.port) as sessions:
        await sessions.run(Request("true"), deadline=SECONDS)
        await eventually(lambda: len(sessions._pool._idle) == 3)
        proxy.delay(0.05)
        trips = [await _trips_of_ten(sessions, proxy)]
        while min(trips) != 10 and len(trips) < 20:
            trips.append(await _trips_of_ten(sessions, proxy))
        assert min(trips) == 10


async def _trips_of_ten(sessions: Sessions, proxy: FaultProxy) -> int:
    """A sign of life, or an answer in two pieces, may come in between; not each time."""
    before = proxy.round_trips
    for _ in range(10):
        await sessions.run(Request("cat; echo end", b"x" * 20_000), deadline=SECONDS)
    return proxy.round_trips - before


# sites and their moods


async def test_what_login_scripts_print_is_not_the_answer(start_sshd: StartSshd) -> None:
    server = start_sshd('ForceCommand echo Welcome; echo "quota exceeded" >&2; eval "$SSH_ORIGINAL_COMMAND"')
    async with sessions_at(server) as sessions:
        assert (await sessions.run(Request("echo answer"), deadline=SECONDS)).output == b"answer\n"


async def test_what_a_closed_account_says_is_in_the_error(start_sshd: StartSshd) -> None:
    server = start_sshd('ForceCommand echo "This account has expired."; exit 1')
    async with sessions_at(server) as sessions:
        with pytest.raises(NotSent, match="This account has expired"):
            await sessions.run(Request("true"), deadline=SECONDS)


async def test_a_login_shell_that_hangs(start_sshd: StartSshd) -> None:
    server = start_sshd("ForceCommand echo wait; sleep 5")
    async with sessions_at(server, size=PoolSize(open_timeout=0.5)) as sessions:
        with pytest.raises(NotSent, match=r"did not start a shell within 0\.5 s"):
            await sessions.run(Request("true"), deadline=SECONDS)
        with pytest.raises(NotSent, match="in time"):
            await sessions.run(Request("true"), deadline=0.2)


@pytest.mark.parametrize("allowed", [1, 2, 5])
async def test_a_site_that_allows_few_sessions(start_sshd: StartSshd, allowed: int) -> None:
    server = start_sshd(f"MaxSessions {allowed}")
    async with sessions_at(server) as sessions:
        runs = (sessions.run(Request(f"sleep 0.02; echo {number}"), deadline=SECONDS) for number in range(20))
        results = await asyncio.gather(*runs)
    assert [int(result.output) for result in results] == list(range(20))
    assert server.log.count("Accepted publickey") == 1


async def test_each_connection_finds_the_session_limit_again(start_sshd: StartSshd) -> None:
    server = start_sshd("MaxSessions 2")
    with FaultProxy("127.0.0.1", server.port) as proxy:
        server.know(proxy.port)
        async with sessions_at(server, proxy.port) as sessions:
            await asyncio.gather(*(sessions.run(Request("sleep 0.2"), deadline=SECONDS) for _ in range(4)))
            assert sessions.connection_status.sessions_limit == 2
            server.stop()
            config = server.folder / "sshd_config"
            config.write_text(config.read_text().replace("MaxSessions 2", "MaxSessions 10"))
            server.start()
            proxy.cut()
            await eventually(lambda: not sessions.connection_status.state.connected)
            await asyncio.gather(*(sessions.run(Request("sleep 0.2"), deadline=SECONDS) for _ in range(4)))
            assert sessions.connection_status.sessions_limit == 8


async def test_a_site_that_allows_no_session(start_sshd: StartSshd) -> None:
    async with sessions_at(start_sshd("MaxSessions 0")) as sessions:
        with pytest.raises(NotSent, match="allows no further session"):
            await sessions.run(Request("true"), deadline=SECONDS)


async def test_a_site_that_cannot_be_reached(sshd: Sshd, proxy: FaultProxy) -> None:
    proxy.refuse()
    async with sessions_at(sshd, proxy.port) as sessions:
        with pytest.raises(Unreachable, match="refused"):
            await sessions.run(Request("true"), deadline=SECONDS)
        proxy.listen()
        assert (await sessions.run(Request("true"), deadline=SECONDS)).exit_code == 0


# connections that die


async def test_a_connection_that_died_while_idle_is_replaced(sshd: Sshd, proxy: FaultProxy) -> None:
    async with sessions_at(sshd, proxy.port) as sessions:
        for _ in range(10):
            assert (await sessions.run(Request("echo x"), deadline=SECONDS)).output == b"x\n"
            proxy.cut()
            await asyncio.sleep(0.15)
    assert proxy.connections >= 10


async def test_sshd_restarts_under_idle_sessions(sshd: Sshd) -> None:
    async with sessions_at(sshd) as sessions:
        await sessions.run(Request("true"), deadline=SECONDS)
        await sessions.run(Request("(sleep 0.1; kill $PPID) >/dev/null 2>&1 </dev/null &"), deadline=SECONDS)
        await asyncio.sleep(0.5)
        assert (await sessions.run(Request("echo x"), deadline=SECONDS)).output == b"x\n"


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_cut_anywhere_a_script_runs_once_or_not_at_all(
    sshd: Sshd, proxy: FaultProxy, tmp_path: Path, direction: Direction
) -> None:
    """And NotSent, which makes `run` send it again, is never the word for a script that has run."""
    outcomes = set()
    async with sessions_at(sshd, proxy.port) as sessions:
        for size in (*range(1, 700, 47), 1_000_000):
            ran = tmp_path / f"{direction}-{size}"
            await sessions.run(Request("true"), deadline=SECONDS)
            await asyncio.sleep(0.05)
            proxy.cut_after(size, direction)
            try:
                await sessions.run(Request(f"echo >>{ran}\necho {'x' * 200}", b"payload"), deadline=SECONDS)
            except OutcomeUnknown:
                outcomes.add("unknown")
                assert lines_in(ran) <= 1
            else:
                outcomes.add("answered")
                assert lines_in(ran) == 1
            proxy.cut()
            await asyncio.sleep(0.05)
    assert outcomes == {"unknown", "answered"}


@pytest.mark.parametrize("end", ["cut", "kill"])
async def test_a_session_that_takes_over_gets_what_the_one_before_kept(
    sshd: Sshd, proxy: FaultProxy, tmp_path: Path, end: str
) -> None:
    """And one that lives gets it once, also after a script that did not end well."""
    texts = (f"# {'x' * 20_000}\nran() {{ echo $$ >>{tmp_path}/ran; }}\n", "ran")
    async with sessions_at(sshd, proxy.port, PoolSize(sessions=1, warm=0)) as sessions:
        sent = []
        for number in range(6):
            before = proxy.forwarded["up"]
            code = 3 if number % 2 else 0
            assert (await sessions.run(Request("", texts=(*texts, f"exit {code}")), deadline=SECONDS)).exit_code == code
            sent.append(proxy.forwarded["up"] - before)
            if number == 2:
                if end == "cut":
                    proxy.cut()
                else:
                    os.kill(int((tmp_path / "ran").read_text().split()[-1]), signal.SIGKILL)
                await asyncio.sleep(0.2)
        ran = (tmp_path / "ran").read_text().split()
    assert len(ran) == 6
    assert [ran.count(shell) for shell in dict.fromkeys(ran)] == [3, 3]
    assert [size > 20_000 for size in sent] == [True, False, False, True, False, False]


async def test_an_answer_that_is_lost_is_an_unknown_outcome(sshd: Sshd, proxy: FaultProxy, tmp_path: Path) -> None:
    async with sessions_at(sshd, proxy.port) as sessions:
        run = asyncio.create_task(sessions.run(Request(f"touch {tmp_path}/ran; sleep 5"), deadline=SECONDS))
        await eventually((tmp_path / "ran").exists)
        proxy.cut()
        with pytest.raises(OutcomeUnknown, match="reply was lost"):
            await run


# deadlines


async def test_a_slow_script_times_out_and_keeps_the_connection(sshd: Sshd, proxy: FaultProxy) -> None:
    async with sessions_at(sshd, proxy.port) as sessions:
        await sessions.run(Request("true"), deadline=SECONDS)
        with pytest.raises(OutcomeUnknown, match="no reply came in time"):
            await sessions.run(Request("sleep 30"), deadline=2)
        assert (await sessions.run(Request("echo x"), deadline=SECONDS)).output == b"x\n"
    assert proxy.connections == 1


async def test_hung_scripts_do_not_use_up_the_sessions_for_ever(sshd: Sshd, proxy: FaultProxy) -> None:
    size = PoolSize(sessions=2, warm=0, close_grace=0.5)
    async with sessions_at(sshd, proxy.port, size) as sessions:
        # both are open, so that their start is no part of the deadline
        await asyncio.gather(*(sessions.run(Request("sleep 1"), deadline=SECONDS) for _ in range(2)))
        runs = (sessions.run(Request("trap '' HUP PIPE; sleep 12"), deadline=5) for _ in range(2))
        errors = await asyncio.gather(*runs, return_exceptions=True)
        assert [type(error) for error in errors] == [OutcomeUnknown] * 2
        assert (await sessions.run(Request("echo x"), deadline=SECONDS)).output == b"x\n"


async def test_a_request_waits_for_a_session_until_its_deadline(sshd: Sshd, tmp_path: Path) -> None:
    async with sessions_at(sshd, size=PoolSize(sessions=1)) as sessions:
        script = f"touch {tmp_path}/begun; until [ -e {tmp_path}/go ]; do sleep 0.1; done"
        slow = asyncio.create_task(sessions.run(Request(script), deadline=SECONDS))
        await eventually((tmp_path / "begun").exists)
        with pytest.raises(NotSent, match="none of 1 sessions became free"):
            await sessions.run(Request("true"), deadline=0.1)
        (tmp_path / "go").touch()
        assert (await slow).exit_code == 0


async def test_a_script_that_is_not_taken_whole_was_not_sent(sshd: Sshd, proxy: FaultProxy) -> None:
    async with sessions_at(sshd, proxy.port) as sessions:
        await sessions.run(Request("true"), deadline=SECONDS)
        proxy.freeze()
        with pytest.raises(NotSent, match="nothing has run"):
            await sessions.run(Request("true " + "x" * 8_000_000), deadline=0.5)


# In bytes, allocated after so many freezes and still held: the last connection and pytest's copies of what was logged
# come to half of it after 100
WARMED_UP = 3
MOST_HELD = 1_000_000


async def test_freezes_leave_nothing_behind(sshd: Sshd, proxy: FaultProxy) -> None:
    """Threads, descriptors, memory and patience: every call returns by its deadline."""
    async with sessions_at(sshd, proxy.port, PoolSize(patience=0.2)) as sessions:
        await sessions.run(Request("true"), deadline=SECONDS)
        await asyncio.sleep(0.5)
        threads, descriptors = len(ssh_threads()), _descriptors()
        for freeze in range(100 if SOAK else 20):
            if freeze == WARMED_UP:
                tracemalloc.start()
            proxy.freeze()
            calls = (sessions.run(Request("true"), deadline=0.2) for _ in range(3))
            started = time.monotonic()
            errors = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(error, NotSent | OutcomeUnknown) for error in errors)
            assert time.monotonic() - started < 0.2 + 20  # not a measure of speed: a hang would be 30 s
            proxy.thaw()
            assert (await sessions.run(Request("echo x"), deadline=SECONDS)).output == b"x\n"
        await eventually(lambda: len(ssh_threads()) <= threads)
        await eventually(lambda: _descriptors() <= descriptors + 2)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < MOST_HELD
    await eventually(lambda: not ssh_threads())


async def test_a_freeze_behind_a_jump_host_leaves_nothing_behind(start_sshd: StartSshd) -> None:
    jump, target = start_sshd(), start_sshd()
    target.behind(jump)
    with FaultProxy("127.0.0.1", jump.port) as proxy:
        target.know(proxy.port, jump.host_key)
        connection = Connection(target.settings(ProxyJump=f"127.0.0.1:{proxy.port}"), pace=EAGER)
        sessions = Sessions(connection, PoolSize(patience=0.2))
        for _ in range(3):
            assert await _echoed(sessions) == b"x\n"
            proxy.freeze()
            with pytest.raises((NotSent, OutcomeUnknown)):
                await sessions.run(Request("cat", b"x" * 5_000_000), deadline=0.4)
            proxy.thaw()
        await sessions.close()
        await connection.close()
        await eventually(lambda: not ssh_threads())


async def _echoed(sessions: Sessions) -> bytes:
    """The connection that was frozen may be given up after the next request was sent over it, which fails as well."""
    with contextlib.suppress(OutcomeUnknown):
        return (await sessions.run(Request("echo x"), deadline=SECONDS)).output
    return (await sessions.run(Request("echo x"), deadline=SECONDS)).output


def _descriptors() -> int:
    """Sockets of this process, without the proxy's."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_cancelled_request_disturbs_no_other_one(sshd: Sshd) -> None:
    async with sessions_at(sshd, size=PoolSize(sessions=2)) as sessions:
        for _ in range(10):
            run = asyncio.create_task(sessions.run(Request("sleep 0.2"), deadline=SECONDS))
            await asyncio.sleep(0.03)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
        assert (await sessions.run(Request("echo x"), deadline=SECONDS)).output == b"x\n"


# streams


async def test_output_is_followed_as_it_comes(sshd: Sshd, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("first\n")
    async with sessions_at(sshd) as sessions:
        stream = sessions.stream(f"tail -f {log}")
        assert await anext(stream) == b"first\n"
        for number in range(5):
            with log.open("a") as file:
                file.write(f"line {number}\n")
            assert await anext(stream) == f"line {number}\n".encode()
        assert running(f"tail -f {log}".replace(" ", "\0"))
        await stream.aclose()
        await eventually(lambda: not running(f"tail -f {log}".replace(" ", "\0")))


async def test_a_follower_that_is_cancelled_ends_the_script(sshd: Sshd, tmp_path: Path) -> None:
    async with sessions_at(sshd) as sessions:
        (tmp_path / "log").write_text("first\n")

        async def follow() -> None:
            async for _ in sessions.stream(f"tail -f {tmp_path}/log"):
                pass

        task = asyncio.create_task(follow())
        await eventually(lambda: running(f"{tmp_path}/log"))
        task.cancel()
        await eventually(lambda: not running(f"{tmp_path}/log"))


async def test_a_stream_ends_with_its_script(sshd: Sshd) -> None:
    async with sessions_at(sshd) as sessions:
        assert b"".join([data async for data in sessions.stream("seq 100000")]).count(b"\n") == 100_000
        assert [data async for data in sessions.stream("true")] == []


async def test_a_followed_script_that_fails_is_an_error(sshd: Sshd) -> None:
    async with sessions_at(sshd) as sessions:
        with pytest.raises(RemoteFailed, match="exit code 4"):
            [data async for data in sessions.stream("echo x; exit 4")]


async def test_a_stream_that_is_cut_is_an_error(sshd: Sshd, proxy: FaultProxy) -> None:
    async with sessions_at(sshd, proxy.port) as sessions:
        stream = sessions.stream("echo x; sleep 10")
        assert await anext(stream) == b"x\n"
        proxy.cut()
        with pytest.raises(OutcomeUnknown):
            await anext(stream)


async def test_a_slow_follower_slows_the_script_down(sshd: Sshd, proxy: FaultProxy) -> None:
    async with sessions_at(sshd, proxy.port) as sessions:
        stream = sessions.stream("yes")
        await anext(stream)
        seen = -1
        while proxy.forwarded["down"] != seen:
            seen = proxy.forwarded["down"]
            await asyncio.sleep(0.3)
        assert seen < 20 * 1024 * 1024
        assert (await sessions.run(Request("echo x"), deadline=SECONDS)).output == b"x\n"
        await stream.aclose()


async def test_streams_leave_room_for_runs(sshd: Sshd) -> None:
    async with sessions_at(sshd) as sessions:
        streams = [sessions.stream("echo x; sleep 60") for _ in range(4)]
        assert [await anext(stream) for stream in streams] == [b"x\n"] * 4
        with pytest.raises(NotSent, match="4 outputs are being followed"):
            await anext(sessions.stream("echo x", deadline=0.2))
        assert (await sessions.run(Request("echo x"), deadline=SECONDS)).output == b"x\n"
        assert await anext(sessions.stream("echo x", followed=False)) == b"x\n"  # what ends has a place of its own
        await streams[0].aclose()
        assert await anext(sessions.stream("echo x; sleep 60")) == b"x\n"
        for stream in streams:
            await stream.aclose()


async def test_streams_never_take_the_last_session(start_sshd: StartSshd) -> None:
    async with sessions_at(start_sshd("MaxSessions 2")) as sessions:
        streams = [sessions.stream("echo x; sleep 60", deadline=SECONDS) for _ in range(3)]
        waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
        begun, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert [each.result() for each in begun] == [b"x\n"]
        assert (await sessions.run(Request("echo x"), deadline=SECONDS)).output == b"x\n"
        assert not any(each.done() for each in pending), "one session of two is kept for what ends"
        for each in pending:
            each.cancel()
        await asyncio.wait(pending)
        for stream in streams:
            await stream.aclose()


# the end


async def test_after_close_nothing_is_left_and_nothing_is_sent(sshd: Sshd, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    async with sessions_at(sshd) as sessions:
        await sessions.warm()
        run = asyncio.create_task(sessions.run(Request(f"touch {begun}; sleep 20"), deadline=SECONDS))
        await eventually(begun.exists)
    with pytest.raises(OutcomeUnknown):
        await run
    with pytest.raises(NotSent, match="shutting down"):
        await sessions.run(Request("true"), deadline=SECONDS)
    await eventually(lambda: not ssh_threads())
