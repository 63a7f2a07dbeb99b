"""Print the runner, or one of its programs, as one script: scripts/lint checks its variables."""

import sys

from remote_slurm.job import whole_text

sys.stdout.write(whole_text(sys.argv[1]))
