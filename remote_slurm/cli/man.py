"""`remote-slurm man`: manual pages, made of the same parsers as --help."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from remote_slurm import __version__
from remote_slurm.errors import RemoteSlurmError

_HELP = """\
Show the manual page of the program, or of a command. If standard output is no terminal, or there is no program man,
the page is printed as text. With --install, all pages are written below a folder of manuals, so that
`man remote-slurm` finds them, and for each command `man remote-slurm-COMMAND`.
"""

_EXAMPLES = """\
examples:
  remote-slurm man status
  remote-slurm man --install                                 then: man remote-slurm-status
  remote-slurm man --install /usr/local/share/man            for all users
  remote-slurm man --roff run | groff -man -Tpdf >run.pdf
"""

_PROGRAM = "remote-slurm"
_OWN_FOLDER = "~/.local/share/man"
_INDENT = " " * 7
_WIDTH = 80
_SECTION = re.compile(r"[a-z][a-zA-Z -]*:( .*)?")


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    parser.add_argument("page", nargs="?", metavar="COMMAND", help="command whose page to show")
    parser.add_argument("--roff", action="store_true", help="print the source of the page, for groff or mandoc")
    parser.add_argument(
        "--install",
        nargs="?",
        const=Path(_OWN_FOLDER),
        type=Path,
        metavar="FOLDER",
        help=f"write all pages below this folder (default: {_OWN_FOLDER})",
    )


def run(arguments: argparse.Namespace) -> int:
    found = pages()
    if arguments.install is not None:
        _install(found, arguments.install.expanduser() / "man1")
        return 0
    name = f"{_PROGRAM}-{arguments.page}" if arguments.page else _PROGRAM
    if name not in found:
        raise RemoteSlurmError(
            f"there is no command '{arguments.page}': must be one of "
            f"{', '.join(each.removeprefix(f'{_PROGRAM}-') for each in found if each != _PROGRAM)}"
        )
    man = shutil.which("man")
    if sys.stdout.isatty() and man and not arguments.roff:
        return subprocess.run([man, "-l", "-"], input=found[name].encode(), check=False).returncode
    print(found[name] if arguments.roff else "".join(f"{line}\n" for line in readable(found[name])), end="")
    return 0


def _install(found: dict[str, str], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in found.items():
            (folder / f"{name}.1").write_text(text, encoding="utf-8")
    except OSError as error:
        raise RemoteSlurmError(f"cannot write manual pages to {folder}: {error.strerror}") from error
    print(f"{len(found)} pages are in {folder}")


def readable(page: str) -> Iterator[str]:
    """The page as text, with the macros that `pages` uses."""
    before = ""
    for line in _lines(page):
        if line or before:
            yield line
        before = line


def _lines(page: str) -> Iterator[str]:
    expects_tag, in_tag, kept = False, False, False
    for line in page.splitlines():
        macro, _, rest = line.partition(" ")
        text = _unescaped(rest if macro in {".SH", ".BR"} else line)
        match macro:
            case ".SH":
                yield from ("", text)
                in_tag = False
            case ".PP":
                yield ""
                in_tag = False
            case ".TP":
                yield ""
                expects_tag = True
            case ".nf" | ".fi":
                kept = macro == ".nf"
            case ".TH" | ".ad":
                pass
            case _ if kept:
                yield f"{_INDENT}{text}".rstrip()
            case _ if expects_tag:
                yield f"{_INDENT}{text}"
                expects_tag, in_tag = False, True
            case _:
                indent = _INDENT * 2 if in_tag else _INDENT
                yield from textwrap.wrap(
                    text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
                )


def _unescaped(text: str) -> str:
    """What `_escaped` and `_heading` were given."""
    plain = re.sub(r"\\f[BIR]|\\&", "", text)
    plain = re.sub(r"\\\[u([0-9A-F]+)\]", lambda found: chr(int(found[1], 16)), plain)
    return plain.replace("\\-", "-").replace("\\e", "\\")


def pages() -> dict[str, str]:
    """The text of each page by its name, such as remote-slurm-status."""
    from remote_slurm.cli.main import COMMANDS, parser

    whole = parser(COMMANDS)
    commands = commands_of(whole)
    main = [*_page(_PROGRAM, str(whole.description), whole), *_listed(COMMANDS)]
    found = {_PROGRAM: "\n".join(main) + "\n"}
    for name, purpose in COMMANDS.items():
        lines = [*_page(f"{_PROGRAM}-{name}", purpose, commands[name]), ".SH SEE ALSO", f".BR {_escaped(_PROGRAM)} (1)"]
        found[f"{_PROGRAM}-{name}"] = "\n".join(lines) + "\n"
    return found


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands, by name."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to its own tables
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def _listed(commands: dict[str, str]) -> Iterator[str]:
    yield ".SH COMMANDS"
    for name, purpose in commands.items():
        yield from (".TP", f".BR {_escaped(f'{_PROGRAM}-{name}')} (1)", _escaped(purpose))


def _page(name: str, purpose: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f'.TH "{_escaped(name.upper())}" 1 "" "{_PROGRAM} {__version__}" "User Commands"'
    yield from (".SH NAME", f"{_escaped(name)} \\- {_escaped(purpose.rstrip('.'))}")
    parser.formatter_class = _unwrapped
    usage = " ".join(parser.format_usage().split()).removeprefix("usage: ")
    yield from (".SH SYNOPSIS", ".ad l", _escaped(usage), ".ad b")
    yield ".SH DESCRIPTION"
    yield from _text(str(parser.description or ""))
    yield from _options(parser)
    yield from _text(str(parser.epilog or ""))


def _unwrapped(prog: str) -> argparse.HelpFormatter:
    """A usage in one line: the reader of the page wraps it."""
    return argparse.RawDescriptionHelpFormatter(prog, width=1_000_000)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for group in parser._action_groups:  # noqa: SLF001
        actions = [each for each in group._group_actions if not isinstance(each, argparse._SubParsersAction)]  # noqa: SLF001
        if actions:
            yield f".SH {_escaped(str(group.title).upper())}"
            yield from _text(str(group.description or ""))
        for action in actions:
            yield from (".TP", _heading(action), _escaped(_help_of(action, parser)))


def _heading(action: argparse.Action) -> str:
    names = action.option_strings
    value = str(action.metavar or "|".join(map(str, action.choices or [])) or action.dest)
    if not names:
        return f"\\fI{_escaped(value)}\\fR"
    takes = "" if action.nargs == 0 else f" \\fI{_escaped(value)}\\fR"
    return ", ".join(f"\\fB{_escaped(name)}\\fR{takes}" for name in names)


def _help_of(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    formatter = parser._get_formatter()  # noqa: SLF001
    return formatter._expand_help(action) if action.help else ""  # noqa: SLF001


def _text(text: str) -> Iterator[str]:
    """Paragraphs are filled, indented lines stay as they are, and `title:` above indented lines begins a section."""
    lines = text.rstrip("\n").split("\n")
    inside = False
    for number, line in enumerate(lines):
        indented = line.startswith("  ")
        if inside and not indented:
            yield ".fi"
        if indented and not inside:
            yield ".nf"
        inside = indented
        if _begins_section(lines, number):
            yield f".SH {_escaped(line.rstrip(':').upper())}"
        elif line.strip():
            yield _escaped(line)
        elif not indented:
            yield ".PP"
    if inside:
        yield ".fi"


def _begins_section(lines: Sequence[str], number: int) -> bool:
    follows = lines[number + 1] if number + 1 < len(lines) else ""
    return bool(_SECTION.fullmatch(lines[number])) and lines[number].endswith(":") and follows.startswith("  ")


def _escaped(text: str) -> str:
    """As roff reads the text itself, also at the beginning of a line."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    plain = "".join(sign if sign.isascii() else f"\\[u{ord(sign):04X}]" for sign in plain)
    return f"\\&{plain}" if plain.lstrip()[:1] in {".", "'"} else plain
