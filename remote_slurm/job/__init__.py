"""What runs in jobs, and nowhere else: `runner.sh` with what follows it, sent with every pod, and `check-node.sh`.

`apart.sh` goes along where nodes share no file system with the login node. `storage.sh` is for deletes, too.
"""

from importlib.resources import files

_RUNNER = (
    "runner", "node", "annotations", "images", "storage", "tsocks", "fresh", "supervise", "restarts", "messages",
    "sidecars", "world", "actions", "hooks", "probes",
)  # fmt: skip
_PULL = ("storage", "pull")


def _joined(names: tuple[str, ...]) -> bytes:
    return b"\n".join((files(__name__) / f"{name}.sh").read_bytes() for name in names)


RUNNER = _joined(_RUNNER)
RANK = (files(__name__) / "rank.sh").read_bytes()
APART = (files(__name__) / "apart.sh").read_bytes()
CHECK_NODE = (files(__name__) / "check-node.sh").read_text(encoding="utf-8")
PULL = _joined(_PULL)
STORAGE = _joined(("storage",)).decode()
SCRIPTS = {"runner.sh": RUNNER, "rank.sh": RANK, "pull.sh": PULL, "apart.sh": APART}
