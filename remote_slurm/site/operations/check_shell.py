"""Check what the login shell has become, and the commands that the scripts here call."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.config import Config
from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply

_TOOLS = (
    "awk base64 cat chmod cut date dd df env find grep gzip head id ln ls mkdir mv printf readlink rm rmdir sed sleep "
    "stat tail tar timeout uname wc xargs"
)


@dataclass(frozen=True, slots=True)
class ShellCheck:
    """The account, its host and its login shell. `missing_bash` is BashPath if that file is not there."""

    account: str
    host: str
    login_shell: str
    is_posix: bool
    missing: tuple[str, ...]
    missing_bash: str


def operation(config: Config) -> Operation[ShellCheck]:
    """Look at the shell and the commands of the login node."""
    return Operation("check_shell", _checked, {"bash": config.bash_path, "tools": _TOOLS})


def _checked(reply: Reply) -> ShellCheck:
    return ShellCheck(
        account=reply.get("account"),
        host=reply.get("host"),
        login_shell=reply.get("loginshell"),
        is_posix=reply.has("posix"),
        missing=tuple(reply.all("missing")),
        missing_bash=reply.get("nobash"),
    )
