"""Options that several subcommands share, and what they stand for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from remote_slurm.cli.credentials import add_credential_options

if TYPE_CHECKING:
    from remote_slurm.config import Config


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """--config and --set."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="path of SlurmConfig.yaml (default: $SLURMCONFIGPATH, else /etc/interlink/SlurmConfig.yaml)",
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


def add_url_option(parser: argparse.ArgumentParser, otherwise: str) -> None:
    """--url and its credentials; `otherwise` says what happens without --url."""
    parser.add_argument(
        "--url",
        type=url,
        metavar="URL",
        help=f"sidecar to use, as http://HOST:PORT, https://HOST:PORT or unix:///PATH ({otherwise})",
    )
    add_credential_options(parser)


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
    parts = urlsplit(text)
    where = parts.path if parts.scheme == "unix" else parts.netloc
    if parts.scheme not in {"http", "https", "unix"} or not where:
        raise argparse.ArgumentTypeError(f"must be http://HOST:PORT, https://HOST:PORT or unix:///PATH, not {text!r}")
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
