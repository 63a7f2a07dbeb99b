"""The command line: the only place where concrete parts meet. A subcommand is a module with `fill` and `run`."""

from remote_slurm.cli.main import main

__all__ = ["main"]
