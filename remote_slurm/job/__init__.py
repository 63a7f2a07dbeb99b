"""What runs in jobs: `runner.sh` with `node.sh`, sent with every pod, and `check-node.sh`; nothing in the sidecar."""

from importlib.resources import files

RUNNER = b"\n".join((files(__name__) / name).read_bytes() for name in ("runner.sh", "node.sh"))
CHECK_NODE = (files(__name__) / "check-node.sh").read_text(encoding="utf-8")
