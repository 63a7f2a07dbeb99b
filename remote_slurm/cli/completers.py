"""What the shell completes: names of pods, from the memory of a sidecar that is running."""

from __future__ import annotations

import argparse
import asyncio
import os

_SECONDS = 2.0


def pods(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The names that begin with the prefix. Empty without a sidecar: a key that is pressed must not open SSH."""
    try:
        return asyncio.run(asyncio.wait_for(_names(prefix, parsed_args), _SECONDS))
    except Exception:  # noqa: BLE001 - whatever is wrong, the shell completes nothing; the command itself reports it
        return []


async def _names(prefix: str, arguments: argparse.Namespace) -> list[str]:
    from remote_slurm.cli.client import running
    from remote_slurm.cli.global_options import with_environment

    async with running(with_environment(arguments, os.environ)) as sidecar:
        state = await sidecar.state()
    names = [str(pod["name"]) for pod in state["pods"]]
    own = getattr(arguments, "namespace", "")
    if own:
        names = [name.removeprefix(f"{own}/") for name in names if name.startswith(f"{own}/")]
    return [name for name in names if name.startswith(prefix)]
