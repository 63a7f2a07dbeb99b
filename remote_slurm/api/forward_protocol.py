"""The WebSocket protocol of one connection to a port of a pod (docs/wire.md)."""

PROTOCOL = "v1.forward.remote-slurm"
