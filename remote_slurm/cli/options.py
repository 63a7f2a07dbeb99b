"""Options that several subcommands share, and what they stand for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from remote_slurm.cli.completers import pods
from remote_slurm.cli.credentials import add_credential_options
from remote_slurm.cli.filters import selector, states

if TYPE_CHECKING:
    from remote_slurm.config import Config


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """--config and --set."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="path of SlurmConfig.yaml (default: $REMOTE_SLURM_CONFIG, else $SLURMCONFIGPATH, else "
        "/etc/interlink/SlurmConfig.yaml)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a configuration key; can be repeated",
    )


def add_pod_file_argument(parser: argparse.ArgumentParser) -> None:
    """POD.yaml."""
    parser.add_argument(
        "pod",
        type=Path,
        metavar="POD.yaml",
        help="file with a Pod and its ConfigMaps and Secrets; - reads standard input",
    )


def add_pods_argument(parser: argparse.ArgumentParser, text: str) -> None:
    """POD, any number of times; the shell completes names of pods."""
    parser.add_argument("pods", nargs="*", metavar="POD", help=text).completer = pods  # type: ignore[attr-defined]


def add_pod_argument(parser: argparse.ArgumentParser) -> None:
    """POD; the shell completes names of pods."""
    parser.add_argument("pod", metavar="POD", help="name or file of a pod").completer = pods  # type: ignore[attr-defined]


def add_url_option(parser: argparse.ArgumentParser, otherwise: str, *, from_environment: bool = True) -> None:
    """--url and its credentials; `otherwise` says what happens without it.

    `from_environment`: REMOTE_SLURM_URL takes its place.
    """
    default = f"$REMOTE_SLURM_URL, else {otherwise}" if from_environment else otherwise
    parser.add_argument(
        "--url",
        type=url,
        metavar="URL",
        help=f"sidecar to use, as http://HOST:PORT, https://HOST:PORT or unix:///PATH; --config is not read then "
        f"(default: {default})",
    )
    parser.set_defaults(takes_url=from_environment)
    add_credential_options(parser)


def add_namespace_option(
    parser: argparse.ArgumentParser, text: str = "namespace of a POD that is a name alone"
) -> None:
    """--namespace; by default for commands that name pods."""
    parser.add_argument("-n", "--namespace", default="", metavar="NAMESPACE", help=text)


def add_file_namespace_option(parser: argparse.ArgumentParser) -> None:
    """--namespace for commands that read a pod from a file."""
    parser.add_argument(
        "-n", "--namespace", default="", metavar="NAMESPACE", help="namespace of the pod, if the file names none"
    )


def add_filter_options(parser: argparse.ArgumentParser) -> None:
    """--namespace, --all-namespaces, --selector and --state, for commands that select pods; see filters.py."""
    parser.add_argument(
        "-n",
        "--namespace",
        default="",
        metavar="NAMESPACE",
        help="only pods of this namespace; also that of a POD that is a name alone",
    )
    parser.add_argument(
        "-A",
        "--all-namespaces",
        action="store_true",
        help="pods of all namespaces; the default, which overrides --namespace",
    )
    parser.add_argument(
        "-l",
        "--selector",
        type=selector,
        action="append",
        default=[],
        metavar="SELECTOR",
        help="only pods with these labels, such as app=train,tier!=test or 'app in (a,b)'; of several, all count",
    )
    parser.add_argument(
        "--state",
        type=states,
        action="extend",
        default=[],
        metavar="STATE,...",
        help="only pods in these phases or states of Slurm, such as waiting,running or TIMEOUT",
    )


def add_output_option(parser: argparse.ArgumentParser, what: str = "", more: Sequence[str] = ()) -> None:
    """--output json, and the formats in `more`."""
    parser.add_argument(
        "-o", "--output", choices=["text", *more, "json"], default="text", help=what or "output format (default: text)"
    )


def configured(arguments: argparse.Namespace) -> Config:
    """The configuration that the arguments name. Raises ConfigError."""
    # not above: a shadow pod has little memory
    from remote_slurm.config import load_config
    from remote_slurm.domain.plan.semantic_checks import semantic_problems

    return load_config(arguments.config, os.environ, arguments.set, semantic_problems)


def url(text: str) -> str:
    """Where a sidecar listens, without a / at the end."""
    try:
        parts = urlsplit(text)
        where = parts.path if parts.scheme == "unix" else parts.hostname
        is_valid = parts.scheme in {"http", "https", "unix"} and where and parts.port != 0
    except ValueError:  # a port beyond 65535, or half an IPv6 address
        is_valid = False
    if not is_valid:
        raise argparse.ArgumentTypeError(
            f"must be http://HOST:PORT, https://HOST:PORT or unix:///PATH, with a port from 1 to 65535, not {text!r}"
        )
    return text.rstrip("/")


def seconds(text: str) -> float:
    """A time in seconds of more than zero."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds, such as 60, not {text!r}")
    return number
