"""A command in a container: what a shell reads of it, and why it is refused."""

import subprocess

import pytest

from remote_slurm.domain.exec_request import ExecRequest, TerminalSize, refusal_sentence
from remote_slurm.errors import InvalidRequest


@pytest.mark.parametrize("words", [("echo", "a b", "", "'", '"', "$(id)", "`id`", "\n", "\\", "*", "-n", "é")])
def test_a_shell_reads_the_command_as_it_was_sent(words: tuple[str, ...]) -> None:
    script = f"set -- {ExecRequest('c', words).shell_words()}; printf '%s\\0' \"$@\""
    printed = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    assert printed.decode().split("\0")[:-1] == list(words)


@pytest.mark.parametrize(
    ("words", "problem"),
    [((), "a command is required"), (("",), "a command is required"), (("cat", "x" * 70_000), "too long")],
)
def test_a_command_that_cannot_run_is_refused(words: tuple[str, ...], problem: str) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        ExecRequest("c", words).shell_words()


def test_a_terminal_has_at_least_one_character() -> None:
    assert TerminalSize.of(0, -5) == TerminalSize(1, 1)
    assert TerminalSize.of(10**9, 50) == TerminalSize(10_000, 50)


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        ("terminated 0", "container 'c' in pod team/web is terminated: exit code 0"),
        ("terminated", "container 'c' in pod team/web is terminated"),
        ("waiting", "container 'c' in pod team/web is waiting to start"),
        ("anything else", "the folder of pod team/web cannot be read on its node"),
    ],
)
def test_a_refusal_names_the_container(refusal: str, sentence: str) -> None:
    assert refusal_sentence(refusal, "c", "team/web") == sentence
