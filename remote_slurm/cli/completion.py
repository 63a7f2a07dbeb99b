"""`remote-slurm completion`: what a shell runs to complete commands, options and names of pods."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Iterable

_PROGRAM = "remote-slurm"

_HELP = """\
Print the script with which a shell completes commands, options and, from the memory of a running sidecar, names of
pods. Without a sidecar, names are not completed: a key that is pressed opens no connection to the site.
"""

_EXAMPLES = """\
examples:
  eval "$(remote-slurm completion bash)"                  in ~/.bashrc
  eval "$(remote-slurm completion zsh)"                   in ~/.zshrc, after compinit
  remote-slurm completion fish >~/.config/fish/completions/remote-slurm.fish
"""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="shell that runs the script")


def run(arguments: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print(shellcode([_PROGRAM], shell=arguments.shell))
    return 0


def is_asked() -> bool:
    """Whether the shell's script has started this program to complete a command line."""
    return "_ARGCOMPLETE" in os.environ


def complete(parser: Callable[[Iterable[str]], argparse.ArgumentParser]) -> None:
    """Answer the shell, and exit; `parser` makes the parser of the command that is given."""
    from argcomplete.finders import CompletionFinder

    from remote_slurm.cli.global_options import command_first

    CompletionFinder()(parser(command_first(words_before_cursor())[:1]), always_complete_options=False)


def words_before_cursor() -> list[str]:
    """The words of the command line without the program's name, and without the word that is being completed."""
    line = os.environ.get("COMP_LINE", "")
    line = line[: int(os.environ.get("COMP_POINT") or len(line))]
    try:
        words = shlex.split(line)
    except ValueError:  # an open quote is that of the word itself
        words = shlex.split(line.rpartition(" ")[0], posix=False)
    return words[1:] if line.endswith(" ") else words[1:-1]
