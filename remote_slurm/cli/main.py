"""`remote-slurm`: which subcommand, which configuration, and one clear sentence for whatever goes wrong."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib import import_module

from remote_slurm import __version__
from remote_slurm.cli import completion, supervisor
from remote_slurm.cli.exit_codes import BROKEN_PIPE, INTERRUPTED
from remote_slurm.cli.global_options import add_global_options, command_first, with_environment
from remote_slurm.cli.screen import visible
from remote_slurm.commit import commit
from remote_slurm.errors import ConfigError, RemoteSlurmError

DEBUG = "REMOTE_SLURM_DEBUG"

# Each is a module here: fill(parser) adds its options and its examples, run(arguments) returns the exit code.
COMMANDS = {
    "init": "write a SlurmConfig.yaml for a site: confirm its host key, look at it, and choose",
    "serve": "run the sidecar for interLink",
    "check": "check the connection to the site step by step, with a remedy for each failure",
    "render": "print the batch script of a pod, without sending it",
    "run": "submit a pod, follow its log, and exit with its exit code",
    "top": "show the site and its pods live in a terminal",
    "status": "list the pods at the site, or the named pods only",
    "describe": "print all that is known of a pod",
    "logs": "print or follow the logs of containers",
    "wait": "wait until pods are ready, have ended or are deleted",
    "port-forward": "forward local ports to ports of a pod",
    "exec": "run a command in a container of a pod, such as a shell",
    "cp": "copy files and folders to and from a container of a pod",
    "delete": "cancel the jobs of pods and remove their folders",
    "config": "print an example of SlurmConfig.yaml, its JSON Schema, or the values in force",
    "completion": "print the script with which a shell completes commands and names of pods",
    "man": "show the manual pages, or install them",
    "ping": "check that a sidecar is running, and print the capacity of its virtual node",
}

_EXAMPLES = """\
environment:
  REMOTE_SLURM_CONFIG       as --config
  REMOTE_SLURM_URL          as --url; --config on the command line takes precedence over it
  REMOTE_SLURM_TOKEN_FILE   as --token-file, for REMOTE_SLURM_URL only; likewise REMOTE_SLURM_CA_FILE
  NO_COLOR                  output without colours

examples:
  remote-slurm init                                      write SlurmConfig.yaml for a site
  remote-slurm check --config SlurmConfig.yaml           check the connection to the site
  remote-slurm run --config SlurmConfig.yaml pod.yaml    run a pod without Kubernetes
  remote-slurm serve --config SlurmConfig.yaml           run the sidecar for interLink
  remote-slurm run --help                                show the options and examples of a command
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 with a message on standard error, or that of the subcommand."""
    if completion.is_asked():
        completion.complete(parser)
    words = command_first(sys.argv[1:] if argv is None else argv)
    if argv is None and _is_for_supervisor(words):
        return supervisor.supervise(words)
    arguments = _parsed(words)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every locale has an ellipsis, a tick or the letters of a site
    try:
        code: int = arguments.run(with_environment(arguments, os.environ))
        if sys.stdout is not None:  # as Python has it if the stream is closed
            sys.stdout.flush()
    except RemoteSlurmError as error:
        print(visible(str(error) if isinstance(error, ConfigError) else f"remote-slurm: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of standard output has gone, as in `| head`: print nothing, and flush nothing at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - a traceback is for developers
        _say_unexpected(error)
        return 1
    return code


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """Exits with 2 and a message if there is no such command or option: with the nearest name."""
    whole = parser(words[:1])
    if not words:
        whole.print_help(sys.stderr)
        whole.exit(2)
    if not words[0].startswith("-") and words[0] not in COMMANDS:
        whole.error(
            f"there is no command '{words[0]}'{_nearest(words[:1], COMMANDS)}: `remote-slurm --help` lists the commands"
        )
    arguments, unknown = whole.parse_known_args(words)
    if unknown:
        from remote_slurm.cli.man import commands_of

        options = [name for action in commands_of(whole)[words[0]]._actions for name in action.option_strings]  # noqa: SLF001
        whole.error(f"unrecognized arguments: {' '.join(unknown)}{_nearest(unknown, options)}")
    return arguments


def _nearest(words: Iterable[str], names: Iterable[str]) -> str:
    from difflib import get_close_matches

    names = list(names)
    found = [name for word in words for name in get_close_matches(word.partition("=")[0], names, n=1)]
    return f" (did you mean {', '.join(found)}?)" if found else ""


def _is_for_supervisor(words: Sequence[str]) -> bool:
    return words[:1] == ["serve"] and not {"-h", "--help"} & set(words) and supervisor.is_possible()


def _say_unexpected(error: Exception) -> None:
    if os.environ.get(DEBUG):
        traceback.print_exc()
    words = visible(" ".join(str(error).split()))
    print(
        f"remote-slurm: an unexpected {type(error).__name__}: {words or 'no message'}; this is a defect of "
        f"remote-slurm: please report it with what {DEBUG}=1 shows",
        file=sys.stderr,
    )


class _Version(argparse.Action):
    """Asks git only when it is asked itself."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"remote-slurm {__version__} (commit {commit() or 'unknown'})")
        parser.exit()


def parser(filled: Iterable[str]) -> argparse.ArgumentParser:
    """The parser of all commands; those in `filled` have their options. The others are not loaded: --help is quick."""
    parser = argparse.ArgumentParser(
        prog="remote-slurm",
        description="Run Kubernetes pods on a Slurm cluster that is reachable by SSH only.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and the commit, and exit")
    add_global_options(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    filled = set(filled)
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name in filled:
            module = import_module(f"remote_slurm.cli.{name.replace('-', '_')}")
            module.fill(command)
            command.set_defaults(run=module.run)
    return parser
