"""What runs in jobs, and nowhere else: `runner.sh` with what follows it, sent with every pod, and `check-node.sh`."""

from importlib.resources import files

RUNNER = b"\n".join((files(__name__) / f"{name}.sh").read_bytes() for name in ("runner", "node", "annotations"))
RANK = (files(__name__) / "rank.sh").read_bytes()
CHECK_NODE = (files(__name__) / "check-node.sh").read_text(encoding="utf-8")
SCRIPTS = {"runner.sh": RUNNER, "rank.sh": RANK}
