"""log.sh, in each shell: what of a log comes back for what `kubectl logs` can ask, and no byte more."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

import pytest

from remote_slurm.domain.status.log_slice import parse_notes
from remote_slurm.site.reply import Reply
from remote_slurm.ssh.remote_shell import Result
from tests.site.account import Account

POD = "ns-1"
LINES = "".join(f"line {number}\n" for number in range(1, 8))
TIMES = "".join(f"{1000 + number} {7 * number}\n" for number in range(1, 8))
TEN_MIB = 10 * 1024 * 1024
ASKED = ("lines", "tail_bytes", "bytes", "since", "offset", "run", "notes", "previous", "over", "follow")


@pytest.fixture
def pod(each_account: Account) -> Account:
    """An account with a pod whose container `c` printed a line a second, and was run before."""
    logs = each_account.root / POD / "logs"
    records = each_account.root / POD / "records"
    each_account.ask("recover", owns="")
    logs.mkdir(parents=True)
    records.mkdir()
    (logs / "c.log").write_text(LINES)
    (logs / "c.previous.log").write_text("before\n")
    (logs / "i.log").write_text("of an init container\n")
    (records / "c").write_text(f"v1 {POD} c terminated 1000 1008 0 0\n{TIMES}")
    return each_account


def ask(account: Account, container: str = "c", **asked: str) -> Reply:
    nothing: dict[str, Any] = dict.fromkeys(ASKED, "")
    return account.ask("log", pod=POD, container=container, **nothing | asked)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({}, LINES),
        ({"lines": "2"}, "line 6\nline 7\n"),
        ({"lines": "0"}, ""),
        ({"lines": "99"}, LINES),
        ({"lines": "99", "tail_bytes": "9"}, "6\nline 7\n"),
        ({"lines": "1", "tail_bytes": "9"}, "line 7\n"),
        ({"bytes": "9"}, "line 1\nli"),
        ({"lines": "2", "bytes": "3"}, "lin"),
        ({"since": "1005"}, "line 5\nline 6\nline 7\n"),
        ({"since": "1"}, LINES),
        ({"since": "2000"}, ""),
        ({"since": "1005", "lines": "1"}, "line 7\n"),
        ({"since": "1005", "lines": "6"}, "line 5\nline 6\nline 7\n"),
        ({"offset": "35"}, "line 6\nline 7\n"),
        ({"previous": "yes"}, "before\n"),
        ({"follow": "yes", "lines": "1"}, "line 7\n"),
    ],
)
def test_what_comes_back(pod: Account, asked: dict[str, str], text: str) -> None:
    assert ask(pod, **asked).messages.strip("\n") == text.strip("\n")


def run(account: Account, **asked: str) -> Result:
    nothing: dict[str, Any] = dict.fromkeys(ASKED, "")
    return account.run(account.script("log", pod=POD, container="c", **nothing | asked))


def test_a_log_that_cannot_be_read_to_its_end_is_an_error(pod: Account) -> None:
    log = pod.root / POD / "logs" / "c.log"
    log.unlink()
    log.mkdir()  # reading it fails, opening it does not
    for asked in ({}, {"offset": "3"}, {"bytes": "9"}):
        failed = run(pod, **asked)
        assert failed.exit_code != 0
        assert failed.output.partition(b"\n>log ")[2].partition(b"\n")[2] == b""


@pytest.mark.parametrize("asked", [{}, {"follow": "yes"}])
def test_a_log_that_cannot_be_opened_is_reported_in_words_before_any_byte(
    pod: Account, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    monkeypatch.chdir(pod.root / POD / "logs")
    Path("c.log").unlink()
    with socket(AF_UNIX) as never_opened:
        never_opened.bind("c.log")  # exists, and open(2) fails
        failed = run(pod, **asked)
    assert failed.exit_code == 0
    assert b">log" not in failed.output
    assert b"c.log" in failed.output


def test_an_init_containers_log_by_its_name(pod: Account) -> None:
    assert ask(pod, "i").messages.strip() == "of an init container"


def test_times_are_those_that_the_runner_noted(pod: Account) -> None:
    assert ask(pod, notes="yes", lines="2").all("noted") == ["1006 42", "1007 49"]


def test_times_of_jobs_of_version_0_2_0_have_a_file_of_their_own(pod: Account) -> None:
    (pod.root / POD / "records" / "c").write_text(f"v1 {POD} c terminated 1000 1008 0 0\n")
    (pod.root / POD / "logs" / ".c.sizes").write_text(TIMES)
    assert ask(pod, notes="yes", lines="2").all("noted") == ["1006 42", "1007 49"]
    assert ask(pod, since="1005").messages.strip("\n") == "line 5\nline 6\nline 7"


def test_what_is_left_of_a_longer_record_is_no_time(pod: Account) -> None:
    """On a full file system, a record is written over the one before."""
    (pod.root / POD / "records" / "c").write_text(f"v1 {POD} c terminated 1000 1008 0 0\n9 record=1 7\n 99\n{TIMES}")
    assert ask(pod, notes="yes", lines="2").all("noted") == ["1006 42", "1007 49"]
    assert ask(pod, follow="yes").get("ended") == "49"


def test_times_from_before_a_log_began_anew_do_not_count(pod: Account) -> None:
    old = "".join(f"{900 + number} {100 * number}\n" for number in range(1, 8))
    (pod.root / POD / "records" / "c").write_text(f"v1 {POD} c terminated 1000 1008 0 0\n{old}0 0\n{TIMES}")
    assert parse_notes(ask(pod, notes="yes").all("noted")) == parse_notes(TIMES.splitlines())
    assert ask(pod, since="1005").messages.strip("\n") == "line 5\nline 6\nline 7"
    assert ask(pod, follow="yes").get("ended") == "49"


def test_a_run_before_has_times_of_its_own(pod: Account) -> None:
    (pod.root / POD / "logs" / ".c.previous.sizes").write_text("900 7\n")
    assert ask(pod, previous="yes", notes="yes").all("noted") == ["900 7"]


def test_a_line_that_was_half_there_at_that_time_comes_whole(pod: Account) -> None:
    (pod.root / POD / "logs" / ".c.sizes").write_text("1003 24\n1007 49\n")
    assert ask(pod, since="1004").messages.strip("\n") == "line 4\nline 5\nline 6\nline 7"


@pytest.mark.parametrize(
    ("container", "asked", "word"), [("x", {}, "waiting"), ("i", {"previous": "yes"}, "noprevious")]
)
def test_where_there_is_none(pod: Account, container: str, asked: dict[str, str], word: str) -> None:
    assert ask(pod, container, **asked).has(word)


def test_a_container_that_never_started_has_the_output_of_its_job(pod: Account) -> None:
    (pod.root / POD / "job-7.out").write_text("remote-slurm: no image\n")
    assert ask(pod, "x", over="yes").messages.strip() == "remote-slurm: no image"


@pytest.mark.parametrize("asked", [{"lines": "1"}, {"bytes": "20"}, {"offset": str(TEN_MIB)}, {"since": "2000"}])
def test_only_what_was_asked_for_crosses_the_wire(pod: Account, asked: dict[str, str]) -> None:
    log = pod.root / POD / "logs" / "c.log"
    log.write_bytes(b"x" * (TEN_MIB - 1) + b"\nthe last line\n")
    (log.parent / ".c.sizes").write_text(f"1001 {TEN_MIB}\n1002 {TEN_MIB + 14}\n")
    assert len(ask(pod, **asked).messages) <= 20


# --- which run it is --------------------------------------------------------------------------------------------------

BACKS_OFF = "waiting 1000 0 0 0 {run}record=4 restarts=1 reason=CrashLoopBackOff last=1000,1001,3,0 back-off 10s"


@pytest.fixture
def running(account: Account) -> Account:
    """An account with a pod whose container `c` runs for the second time."""
    account.ask("recover", owns="")
    for name in ("logs", "records"):
        (account.root / POD / name).mkdir(parents=True)
    (account.root / POD / "logs" / "c.log").write_text(LINES)
    note(account, "running 1000 0 0 0 record=3 restarts=1 last=900,901,3,0 ")
    return account


def note(account: Account, record: str) -> None:
    """As the runner does, at once and whole."""
    new = account.root / POD / "records" / ".c"
    new.parent.mkdir(parents=True, exist_ok=True)
    new.write_text(f"v1 {POD} c {record}\n")
    new.rename(new.with_name("c"))


def processes(account: Account) -> list[bytes]:
    """The command lines of what runs in the account."""
    home, found = f"HOME={account.home}\0".encode(), []
    for process in Path("/proc").iterdir():
        with suppress(OSError):  # it is none, or has ended
            if home in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes())
    return found


def is_followed(account: Account) -> bool:
    """Whether a reader at the site waits for what comes behind the log."""
    return any(b"--pid" in command for command in processes(account))


def test_a_reader_with_enough_bytes_leaves_no_process_behind(running: Account) -> None:
    assert ask(running, follow="yes", bytes="4").messages.strip("\n") == "line"
    until(lambda: not processes(running))


@contextmanager
def followed(account: Account) -> Iterator[Callable[[], Reply]]:
    """The reply to a follower of the log, which has to come; without one, it has an end."""
    answers: list[Reply] = []
    asking = threading.Thread(target=lambda: answers.append(ask(account, follow="yes")))
    asking.start()

    def answer() -> Reply:
        until(lambda: answers)
        return answers[0]

    try:
        yield answer
    finally:
        if asking.is_alive():
            note(account, "terminated 1000 1001 3 0 record=9 restarts=1 ")
        asking.join()


@pytest.mark.parametrize("run", ["", "run=2 "], ids=["first run of the job", "requeued"])
def test_a_follower_between_two_runs_gets_the_whole_earlier_run(running: Account, run: str) -> None:
    note(running, BACKS_OFF.format(run=run))
    with followed(running) as answer:
        assert answer().messages.strip("\n") == LINES.strip("\n")


@pytest.mark.parametrize(
    "record",
    [
        "terminated 1000 1001 3 0 record=4 restarts=1 last=900,901,3,0 ",
        BACKS_OFF.format(run=""),
        "running 1002 0 0 0 record=5 restarts=2 last=1000,1001,3,0 ",
        "",
    ],
    ids=["it has ended", "it backs off", "the next run", "the pod is gone"],
)
def test_a_follower_sees_the_run_that_it_follows_to_its_end(running: Account, record: str) -> None:
    if not record:
        (running.root / POD / "records" / "c").unlink()
    with followed(running) as answer:
        until(lambda: is_followed(running))
        with (running.root / POD / "logs" / "c.log").open("a") as log:
            log.write("the end\n")
        if record:
            note(running, record)
        else:
            shutil.rmtree(running.root / POD)
        assert answer().messages.strip("\n") == f"{LINES}the end"


@pytest.mark.parametrize(
    ("record", "text", "ended"),
    [
        ("running 1000 0 0 0 record=3 restarts=1 ", "", False),
        ("running 1000 0 0 0 record=3 restarts=1 reason=NotReady restarts=9 reason=CrashLoopBackOff", "", False),
        ("running 1000 0 0 0 record=3 restarts=1 run=7 restarts=9", "", False),
        ("terminated 1000 1001 3 0 record=4 restarts=1 ", "", True),
        ("running 1002 0 0 0 record=5 restarts=2 ", "previous", True),
        ("running 1002 0 0 0 run=1 record=1 restarts=1 ", "previous", True),
        ("running 1002 0 0 0 record=5 restarts=3 ", "none", True),
    ],
    ids=[
        "runs",
        "whose message has such words",
        "whose message begins so",
        "has ended",
        "restarted",
        "requeued",
        "restarted twice",
    ],
)
def test_a_repeated_request_continues_in_the_log_of_the_same_run(
    running: Account, record: str, text: str, *, ended: bool
) -> None:
    (running.root / POD / "logs" / "c.previous.log").write_text("of the run before this\n")
    (running.root / POD / "logs" / ".c.sizes").write_text("1007 60\n")
    note(running, record)
    if text == "none":
        assert ask(running, run="0.1", offset="7", follow="yes").has("noprevious")
        return
    answer = ask(running, run="0.1", offset="7", follow="yes", **({} if ended else {"bytes": "16"}))
    assert answer.get("run") == "0.1"
    if text == "previous":
        assert answer.messages.strip("\n") == "run before this"
        assert answer.get("ended") == "23"
    else:
        assert answer.messages.startswith(LINES[7:23])
        assert answer.get("ended") == ("60" if ended else ""), "the runner noted more than is in sight"


def test_a_log_that_began_anew_is_read_from_its_beginning(running: Account) -> None:
    anew = "(remote-slurm: 5000 bytes stood here; the log passed MaxLogSize, 4096 bytes, and begins anew)\nnew\n"
    (running.root / POD / "logs" / "c.log").write_text(anew)
    note(running, "terminated 1000 1001 3 0 record=4 restarts=1 ")
    answer = ask(running, run="0.1", offset="4096", follow="yes")
    assert answer.get("log") == "0"
    assert answer.messages.strip("\n") == anew.strip("\n")


# --- on a node that shares no file system -----------------------------------------------------------------------------


def test_what_stayed_on_its_node_is_no_log_until_it_was_fetched(pod: Account) -> None:
    (pod.root / POD / "job-7.out").write_text("remote-slurm: no image\n")
    assert ask(pod, "x", over="yes", node_local="yes").has("stayed")
    (pod.root / POD / "fetched").touch()
    assert ask(pod, "x", over="yes", node_local="yes").messages.strip() == "remote-slurm: no image"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
