"""What runs in jobs: `runner.sh`, sent with every pod, and `check-node.sh`. Nothing here runs in the sidecar."""

from importlib.resources import files

RUNNER = (files(__name__) / "runner.sh").read_bytes()
CHECK_NODE = (files(__name__) / "check-node.sh").read_text(encoding="utf-8")
