"""From Slurm's job state and the runner's records to the status of a pod."""
