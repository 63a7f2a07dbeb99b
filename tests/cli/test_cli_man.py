"""Manual pages have every command and every option, since they are made of the same parsers."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from remote_slurm.cli.main import COMMANDS, parser
from remote_slurm.cli.man import commands_of, pages, readable
from tests.cli.program import Program

PAGES = pages()
PARSERS = commands_of(parser(COMMANDS))


def words(text: str) -> str:
    """A page without the signs of roff."""
    plain = re.sub(r"\\f[BIR]|\\&", "", text).replace("\\-", "-").replace("\\e", "\\")
    return re.sub(r"\\\[u([0-9A-F]+)\]", lambda found: chr(int(found[1], 16)), plain)


def test_there_is_a_page_of_the_program_and_of_each_command() -> None:
    assert [*PAGES] == ["remote-slurm", *(f"remote-slurm-{name}" for name in COMMANDS)]
    main = words(PAGES["remote-slurm"])
    assert all(f"remote-slurm-{name} (1)" in main for name in COMMANDS)
    assert "REMOTE_SLURM_URL" in main


@pytest.mark.parametrize("name", COMMANDS)
def test_each_page_has_each_option_and_each_example(name: str) -> None:
    text = words(PAGES[f"remote-slurm-{name}"])
    parsers = [PARSERS[name], *commands_of(PARSERS[name]).values()]
    options = [option for each in parsers for action in each._actions for option in action.option_strings]
    assert [option for option in options if option not in text] == []
    assert ".SH EXAMPLES" in text
    for line in str(PARSERS[name].epilog).splitlines()[1:]:
        assert line in text


def test_roff_reads_the_pages_without_a_warning() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    text = "\n".join(PAGES.values())
    done = subprocess.run([groff, "-man", "-ww", "-Tutf8"], input=text, capture_output=True, text=True, check=True)
    assert (done.stderr, bool(done.stdout)) == ("", True)


def test_pages_are_installed_below_a_folder(program: Program, tmp_path: Path) -> None:
    done = program("man", "--install", tmp_path / "share/man")
    assert (done.returncode, done.stdout) == (0, f"{len(PAGES)} pages are in {tmp_path}/share/man/man1\n")
    assert (tmp_path / "share/man/man1/remote-slurm-status.1").read_text() == PAGES["remote-slurm-status"]


def test_a_page_is_printed_as_text_where_there_is_no_terminal(program: Program) -> None:
    text = program("man", "status").stdout
    assert not re.search(r"^\.|\\", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 120
    for line in ("NAME", "SYNOPSIS", "EXAMPLES", "         remote-slurm status -n team", "       -w, --watch"):
        assert f"\n{line}\n" in f"\n{text}", line


@pytest.mark.parametrize("name", PAGES)
def test_the_text_of_a_page_has_all_its_words(name: str) -> None:
    shown = " ".join(" ".join(readable(PAGES[name])).split())
    lines = [line for line in PAGES[name].splitlines() if not line.startswith((".TH", ".ad", ".PP", ".nf", ".fi"))]
    for line in lines:
        found = " ".join(words(re.sub(r"^\.(SH|TP|BR) ?", "", line)).split())
        assert found in shown


def test_the_source_of_a_page_is_printed_if_asked_for(program: Program) -> None:
    assert program("man", "--roff", "status").stdout == PAGES["remote-slurm-status"]
    done = program("man", "dance")
    assert done.returncode == 1
    assert "there is no command 'dance': must be one of " in done.stderr
