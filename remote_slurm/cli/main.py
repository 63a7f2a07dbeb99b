"""`remote-slurm`: which subcommand, which configuration, and one clear sentence for whatever goes wrong."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from remote_slurm import __version__
from remote_slurm.config import Config, load_config
from remote_slurm.errors import ConfigError, RemoteSlurmError


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 with a sentence on standard error, or what the subcommand says."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    except RemoteSlurmError as error:
        print(f"remote-slurm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def configured(arguments: argparse.Namespace) -> Config:
    """The configuration that the arguments name. Raises ConfigError."""
    return load_config(arguments.config, os.environ, arguments.set)


def _parser() -> argparse.ArgumentParser:
    from remote_slurm.cli import serve

    parser = argparse.ArgumentParser(
        prog="remote-slurm", description="Kubernetes pods on a Slurm cluster that is reached only by SSH."
    )
    parser.add_argument("--version", action="version", version=f"remote-slurm {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (serve,):
        module.add(commands)
    return parser


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """--config and --set, which most subcommands take."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="SlurmConfig.yaml; default $SLURMCONFIGPATH, else /etc/interlink/SlurmConfig.yaml",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of the configuration, in place of the file's; can be given several times",
    )
