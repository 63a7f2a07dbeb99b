"""Options that may stand before the command too, and the environment variables that take their place."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from remote_slurm.errors import RemoteSlurmError

URL, TOKEN_FILE, CA_FILE = "REMOTE_SLURM_URL", "REMOTE_SLURM_TOKEN_FILE", "REMOTE_SLURM_CA_FILE"

# Each takes a value. The commands define them; here they are for --help and for completion
_OPTIONS = {
    ("--config",): ("FILE", "configuration file"),
    ("--set",): ("KEY=VALUE", "override a configuration key; can be repeated"),
    ("--url",): ("URL", "sidecar to use"),
    ("-n", "--namespace"): ("NAMESPACE", "namespace of the pods"),
    ("--token-file",): ("FILE", "file with a token of the sidecar at --url"),
    ("--ca-file",): ("FILE", "certificate authorities of the sidecar at --url"),
    ("--ca-data",): ("BASE64", "likewise, as their content"),
    ("--cert-file",): ("FILE", "client certificate for the sidecar at --url"),
    ("--key-file",): ("FILE", "private key of the client certificate"),
}


def add_global_options(parser: argparse.ArgumentParser) -> None:
    """Describe them: `command_first` moves them behind the command, whose parser reads them."""
    group = parser.add_argument_group(
        "global options", "These may stand before or after the command. A command that has no use for one rejects it."
    )
    for names, (metavar, text) in _OPTIONS.items():
        group.add_argument(*names, metavar=metavar, help=text, default=argparse.SUPPRESS)


def command_first(arguments: Sequence[str]) -> list[str]:
    """The arguments with the global options that stand before the command moved to right behind it."""
    before: list[str] = []
    wants_value = False
    for at, word in enumerate(arguments):
        if not wants_value and not word.startswith("-"):
            return [word, *before, *arguments[at + 1 :]]
        if not wants_value and word not in _NAMES and not word.startswith(_WITH_VALUE):
            return list(arguments)  # --help and --version; argparse rejects anything else
        wants_value = not wants_value and word in _NAMES
        before.append(word)
    return list(arguments)


_NAMES = frozenset(name for names in _OPTIONS for name in names)
_WITH_VALUE = tuple(f"{name}=" if name.startswith("--") else name for name in _NAMES)


def with_environment(arguments: argparse.Namespace, environ: Mapping[str, str]) -> argparse.Namespace:
    """The arguments with the URL and the credentials of the environment, if the command line names no sidecar.

    A configuration on the command line takes precedence over a URL in the environment. The credentials are for that URL
    only: another sidecar must not get the token. Raises RemoteSlurmError for a URL that is none.
    """
    if not getattr(arguments, "takes_url", False) or arguments.url or arguments.config or not environ.get(URL):
        return arguments
    from remote_slurm.cli.options import url  # not above: its module is of the commands

    try:
        arguments.url = url(environ[URL])
    except argparse.ArgumentTypeError as error:
        raise RemoteSlurmError(f"{URL} {error}") from None
    arguments.token_file = arguments.token_file or _path(environ.get(TOKEN_FILE))
    if not arguments.ca_data:
        arguments.ca_file = arguments.ca_file or _path(environ.get(CA_FILE))
    return arguments


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
