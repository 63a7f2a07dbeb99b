"""What the shell completes: names of pods, from the memory of a sidecar that is running."""

from __future__ import annotations

import argparse
import asyncio
import os

_SECONDS = 2.0


def pods(prefix: str, **_: object) -> list[str]:
    """The names that begin with the prefix. Empty without a sidecar: a key that is pressed must not open SSH."""
    try:
        return asyncio.run(asyncio.wait_for(_names(prefix), _SECONDS))
    except (Exception, SystemExit):  # noqa: BLE001 - whatever is wrong, the command itself reports it
        return []


async def _names(prefix: str) -> list[str]:
    from remote_slurm.cli.client import running

    arguments = _arguments()
    async with running(arguments) as sidecar:
        state = await sidecar.state()
    own = f"{arguments.namespace}/" if arguments.namespace else ""
    full = [str(pod["name"]) for pod in state["pods"]]
    names = [name.removeprefix(own) for name in full if name.startswith(own)]
    return sorted(name for name in names if name.startswith(prefix))


def _arguments() -> argparse.Namespace:
    """The options of the command line that name a sidecar and a namespace, wherever they stand."""
    from remote_slurm.cli.completion import words_before_cursor
    from remote_slurm.cli.global_options import with_environment
    from remote_slurm.cli.options import add_config_options, add_namespace_option, add_url_option

    parser = argparse.ArgumentParser(add_help=False)
    add_namespace_option(parser)
    add_config_options(parser)
    add_url_option(parser, "")
    return with_environment(parser.parse_known_args(words_before_cursor())[0], os.environ)
