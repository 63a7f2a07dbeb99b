"""Both halves of a session, session.sh and framing.py, against each other in every shell that may be /bin/sh."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remote_slurm.ssh.framing import Frame, FramedOutput, KeptTexts, Request, bootstrap, frame, nonce, ready_mark
from tests.toolboxes import STANDALONE

SHELLS = {
    "dash": ["dash"],
    "bash": ["bash", "--posix"],
    "busybox": ["busybox", "sh"],
    "busybox-standalone": [str(STANDALONE), "sh"],
    "ksh": ["ksh"],
}


class LocalShell:
    """A shell as sshd would start it: standard input and output are pipes, and it leads a process group."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        assert shutil.which(command[0]), f"{command[0]} is not installed"
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=env
        )
        ready = nonce()
        self.write(bootstrap(ready))
        heard = b""
        while ready_mark(ready) not in heard:
            heard += self.read()

    def write(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read(self) -> bytes:
        assert self.process.stdout
        data = os.read(self.process.stdout.fileno(), 65536)
        assert data, "the shell ended"
        return data

    def ask(self, asked: Frame) -> tuple[int, bytes]:
        threading.Thread(target=self.write, args=(asked.data,)).start()
        answer, output = FramedOutput(asked), b""
        while answer.exit_code is None:
            output += answer.feed(self.read())
        return answer.exit_code, output

    def run(self, script: str, payload: bytes = b"") -> tuple[int, bytes]:
        return self.ask(frame(script, payload))

    def hang_up(self) -> bytes:
        """Close its standard input, as a cut connection does, and collect what it still says."""
        output, _ = self.process.communicate(timeout=120)
        return output

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


StartShell = Callable[..., LocalShell]


@pytest.fixture(params=SHELLS)
def start_shell(request: pytest.FixtureRequest) -> Iterator[StartShell]:
    started: list[LocalShell] = []

    def start(**environment: str) -> LocalShell:
        started.append(LocalShell(SHELLS[request.param], os.environ | environment))
        return started[-1]

    yield start
    for shell in started:
        shell.end()


@pytest.fixture
def shell(start_shell: StartShell) -> LocalShell:
    return start_shell()


def test_an_answer_is_output_and_exit_code(shell: LocalShell) -> None:
    assert shell.run("echo out; echo err >&2; exit 7") == (7, b"out\nerr\n")


@pytest.mark.parametrize("script", ["", "# only a comment", "true # and a comment", "echo 'a\nb' \"c\" \\\n  d"])
def test_texts_of_scripts(shell: LocalShell, script: str) -> None:
    expected = subprocess.run(["dash", "-c", script], capture_output=True, check=True).stdout
    assert shell.run(script) == (0, expected)


@pytest.mark.parametrize("value", ["'", '"', "`false`", "$(false)", "$HOME", "\\", "*", "é\U0001f680", "\036", "%s"])
def test_text_is_passed_as_it_is(shell: LocalShell, value: str) -> None:
    text = f"-{value}-{value}-"
    assert shell.run(f"cat <<'END'\n{text}\nEND") == (0, f"{text}\n".encode())


def test_a_long_script(shell: LocalShell) -> None:
    script = "\n".join(f": line {number} {'x' * 80}" for number in range(5000)) + "\necho end"
    assert shell.run(script) == (0, b"end\n")


@pytest.mark.parametrize("payload", [b"", b"x", b"\n", b"\0\n\r\xff" * 1000, bytes(range(256)) * 4000], ids=len)
def test_a_payload_is_passed_as_it_is(shell: LocalShell, payload: bytes) -> None:
    code, output = shell.run('cat; echo "$payload_size" >&2', payload)
    assert (code, output) == (0, payload + f"{len(payload)}\n".encode())


@pytest.mark.parametrize("script", ["true", "head -c 3", "exec <&-", "exit 0", "sleep 0.1"])
def test_what_a_script_leaves_of_its_payload_is_not_taken_for_the_next(shell: LocalShell, script: str) -> None:
    for _ in range(3):
        shell.run(script, b"run x 1 0 x\n#touch /tmp/no\n" * 5000)
        assert shell.run("echo next") == (0, b"next\n")


@pytest.mark.parametrize(
    "script",
    [
        "cd /; umask 0; variable=1; set -e; trap 'echo trapped' EXIT; kind=x; script=x; nonce=x",
        "set -e; false",
        "exec true",
        "if",
        "echo $(",
        "unset() { echo bad; }; printf() { echo bad; }",
        "exit 300",
        "set -u; : $undefined_variable",
        "return 3",
    ],
)
def test_a_script_leaves_nothing_to_the_next(start_shell: StartShell, script: str) -> None:
    shell = start_shell()
    shell.run(script)
    expected = f"{Path.cwd()} 0077 none\n".encode()
    assert shell.run('echo "$PWD $(umask) ${variable-none}"') == (0, expected)


def test_errexit_works_inside_a_script(shell: LocalShell) -> None:
    code, output = shell.run("set -e; false; echo not reached")
    assert code != 0
    assert output == b""


def test_a_cut_anywhere_in_a_script_runs_nothing(start_shell: StartShell, tmp_path: Path) -> None:
    asked = frame(f"touch {tmp_path}/ran\necho 'a word'\ntouch {tmp_path}/ran", b"payload")
    runs_only_whole(start_shell, asked, tmp_path / "ran", step=5)


def runs_only_whole(start_shell: StartShell, asked: Frame, ran: Path, step: int) -> None:
    """Cut the frame, whose script creates the file `ran`, after each `step` bytes; then send all of it."""
    for size in {*range(0, asked.script_end, step), asked.script_end - 1}:
        shell = start_shell()
        shell.write(asked.data[:size])
        shell.hang_up()
        assert not ran.exists(), f"ran after {size} bytes: {asked.data[:size]!r}"
    assert start_shell().ask(asked)[0] == 0
    assert ran.exists()


def test_a_script_detects_an_incomplete_payload(start_shell: StartShell, tmp_path: Path) -> None:
    script = f'[ "$(cat | wc -c)" -eq "$payload_size" ] && touch {tmp_path}/whole; touch {tmp_path}/ran'
    asked = frame(script, b"payload")
    for size in range(asked.script_end, len(asked.data)):
        shell = start_shell()
        shell.write(asked.data[:size])
        shell.hang_up()
        assert not (tmp_path / "whole").exists()
        assert (tmp_path / "ran").exists()


TEXTS = ("greet() {\n    echo \"hello '$name'\"\n}\n", "greet\n# the end without a newline")


def test_a_text_is_sent_once_and_runs_with_each_script(shell: LocalShell) -> None:
    kept = KeptTexts()
    sizes = []
    for name in ("one", "two", "three"):
        asked = kept.frame(Request(f"name={name}\n", texts=TEXTS))
        sizes.append(len(asked.data) - len(name))
        assert shell.ask(asked) == (0, f"hello '{name}'\n".encode())
    assert sizes[1] == sizes[2] < sizes[0] - sum(map(len, TEXTS))
    assert shell.ask(kept.frame(Request("name=x\n", b"payload", (*TEXTS, "cat")))) == (0, b"hello 'x'\npayload")


def test_a_script_cannot_change_what_the_session_keeps(shell: LocalShell) -> None:
    kept = KeptTexts()
    shell.ask(kept.frame(Request("name=x", texts=TEXTS)))
    change = (
        "for name in $(set | sed -n 's/^\\(kept_[0-9a-f]*\\)=.*/\\1/p'); do eval \"$name='echo changed'\"; done; env"
    )
    assert b"kept_" not in shell.ask(kept.frame(Request(change)))[1], "programs get none of it"
    assert shell.ask(kept.frame(Request("name=y", texts=TEXTS))) == (0, b"hello 'y'\n")


def test_a_cut_anywhere_in_a_text_runs_nothing(start_shell: StartShell, tmp_path: Path) -> None:
    asked = KeptTexts().frame(Request(":", texts=(f"touch {tmp_path}/ran", f"touch {tmp_path}/ran\n")))
    runs_only_whole(start_shell, asked, tmp_path / "ran", step=7)


def test_a_session_keeps_a_bounded_number_of_texts(shell: LocalShell) -> None:
    kept = KeptTexts()
    for number in (*range(100), 99, 0):
        assert shell.ask(kept.frame(Request("", texts=(f"echo {number}",)))) == (0, f"{number}\n".encode())
    assert b"echo 99" in kept.frame(Request("", texts=("echo 99",))).data
    assert b"echo 0" not in kept.frame(Request("", texts=("echo 0",))).data


def test_a_text_with_a_nul_is_refused_each_time() -> None:
    kept = KeptTexts()
    for _ in range(2):
        with pytest.raises(ValueError, match="NUL"):
            kept.frame(Request("", texts=("echo \0",)))


def test_what_profiles_set_for_people_is_unset(start_shell: StartShell) -> None:
    shell = start_shell(
        SBATCH_ACCOUNT="a",
        SBATCH_EXPORT="NONE",
        SQUEUE_FORMAT="%i",
        SQUEUE_FORMAT2="x",
        SACCT_FORMAT="x",
        SINFO_FORMAT="x",
        SCANCEL_INTERACTIVE="1",
        SLURM_CLUSTERS="other",
        SLURM_TIME_FORMAT="relative",
        SLURM_CONF="/etc/slurm/slurm.conf",
        TMOUT="1",
        MULTILINE="first\nSBATCH_X=1\n; false",
        script="mine",
        code="mine",
        name="mine",
    )
    code, output = shell.run("env")
    names = {line.partition("=")[0] for line in output.decode().splitlines()}
    assert code == 0
    assert "SLURM_CONF" in names
    assert "MULTILINE" in names
    assert not [name for name in names if name.startswith(("SQUEUE", "SACCT", "SINFO", "SCANCEL"))]
    assert names.isdisjoint({"SBATCH_ACCOUNT", "SBATCH_EXPORT", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT", "TMOUT"})
    assert names.isdisjoint({"script", "code", "name", "nonce", "kind", "payload_size"})


def test_what_a_background_process_prints_late_is_not_the_next_answer(shell: LocalShell) -> None:
    shell.run("(sleep 0.2; echo late) &")
    time.sleep(0.4)
    assert shell.run("echo next") == (0, b"next\n")


def test_what_follows_ends_with_the_script(shell: LocalShell) -> None:
    assert shell.ask(frame("echo one; echo two; exit 4", kind="follow")) == (4, b"one\ntwo\n")
    shell.hang_up()
    shell.process.wait(120)


def test_a_followed_script_ends_with_its_children_at_a_disconnect(shell: LocalShell, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("line\n")
    asked = frame(f"tail -f {tmp_path}/log | (trap '' TERM; cat)", kind="follow")
    shell.write(asked.data)
    answer = FramedOutput(asked)
    while answer.feed(shell.read()) != b"line\n":
        pass
    shell.hang_up()
    deadline = time.monotonic() + 120
    while _running(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(str(tmp_path))


def _running(argument: str) -> bool:
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it is not one, or has ended
            if argument.encode() in (process / "cmdline").read_bytes():
                return True
    return False


def test_answers_arrive_in_any_pieces() -> None:
    asked = frame("")
    mark = asked.nonce.encode()
    output = b"first\n\036 second\036" + mark[:5] + b"\nlast"
    text = b"noise \036\036" + mark + b" begin\036" + output + b"\036" + mark + b" end 12\036ignored"
    for size in range(1, len(text)):
        answer = FramedOutput(asked)
        pieces = [answer.feed(text[start : start + size]) for start in range(0, len(text), size)]
        assert b"".join(pieces) == output
        assert answer.exit_code == 12


def test_whole_lines_are_handed_on_at_once() -> None:
    asked = frame("")
    answer = FramedOutput(asked)
    answer.feed(b"\036" + asked.nonce.encode() + b" begin\036")
    assert answer.feed(b"a line\n") == b"a line\n"


def test_a_script_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        frame("echo \0")


def test_a_byte_that_only_looks_like_the_end_mark_is_passed_on_at_once() -> None:
    request = frame("true")
    answer = FramedOutput(request)
    answer.feed(b"\036%b begin\036" % request.nonce.encode())
    assert answer.feed(b"a\036z") == b"a\036z"
    assert answer.feed(b"c\036") == b"c"
    assert answer.feed(b"d") == b"\036d"
    assert answer.feed(b"\036%b en" % request.nonce.encode()) == b""
    assert answer.feed(b"d 3\036") == b""
    assert answer.exit_code == 3
