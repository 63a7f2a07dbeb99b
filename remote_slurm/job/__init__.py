"""What runs at the site: `runner.sh`, sent with every pod. Nothing here runs in the sidecar."""

from importlib.resources import files

RUNNER = (files(__name__) / "runner.sh").read_bytes()
