"""`remote-slurm config`: an example, the JSON Schema, and the values in force."""

from __future__ import annotations

import argparse
import json
import os
from importlib.resources import files

from remote_slurm.cli.options import add_config_options, add_output_option
from remote_slurm.config.in_force import lines_in_force, values_in_force
from remote_slurm.config.json_schema import config_schema
from remote_slurm.config.load import config_path, load_layers, validated_config
from remote_slurm.domain.plan.semantic_checks import semantic_problems

_HELP = """\
Print an example of SlurmConfig.yaml with every key, a JSON Schema of it for editors, or the values in force.

show reads the file, the environment and --set, as serve does. Each value has its origin as a comment: a line of the
file, an environment variable, --set, or default. Values that may be secrets are masked; files that the configuration
names are not read. The command makes no connection.
"""

_EXAMPLES = """\
examples:
  remote-slurm config example >SlurmConfig.yaml
  remote-slurm config schema >SlurmConfig.schema.json
  remote-slurm config show --config SlurmConfig.yaml
  remote-slurm config show --config SlurmConfig.yaml --output json | jq .SSH
"""

_WHAT = {"example": "a commented file with every key", "schema": "a JSON Schema", "show": "the values in force"}


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    parser.add_argument("what", choices=_WHAT, help="; ".join(f"{name}: {text}" for name, text in _WHAT.items()))
    add_config_options(parser)
    add_output_option(parser, "output format of show (default: text, which is YAML with comments)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.what == "example":
        print((files("remote_slurm.config") / "SlurmConfig.yaml").read_text(encoding="utf-8"), end="")
    elif arguments.what == "schema":
        print(json.dumps(config_schema(), indent=2))
    else:
        _show(arguments)
    return 0


def _show(arguments: argparse.Namespace) -> None:
    path = config_path(arguments.config, os.environ)
    layers = load_layers(arguments.config, os.environ, arguments.set)
    config = validated_config(path, layers, os.environ, semantic_problems)
    if arguments.output == "json":
        print(json.dumps(values_in_force(config), indent=2))
        return
    print(f"# {path}, the environment and --set")
    print("\n".join(lines_in_force(config, layers)))
