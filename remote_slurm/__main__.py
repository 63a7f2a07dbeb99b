"""`python -m remote_slurm`, as the supervisor starts the server."""

import sys

from remote_slurm.cli import main

sys.exit(main())
