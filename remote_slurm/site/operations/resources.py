"""Run ResourceScriptPath, a script of the site that prints the reply to the ping."""

from __future__ import annotations

from functools import partial

from remote_slurm.config import Config
from remote_slurm.errors import RemoteFailed
from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply


def operation(config: Config) -> Operation[str]:
    """What the script prints. Raises RemoteFailed if it fails."""
    path = config.resource_script_path
    return Operation("resources", partial(_output, path=path), {"script": path}, metric="run")


def _output(reply: Reply, *, path: str) -> str:
    exit_code = reply.require("resources")
    if exit_code != "0":
        error = reply.get("error") or "it printed no message"
        raise RemoteFailed(
            f"ResourceScriptPath {path} ended with exit code {exit_code} ({error}): run it as the account at the site"
        )
    return reply.messages
