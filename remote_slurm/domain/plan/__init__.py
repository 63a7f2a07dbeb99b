"""What a pod's Slurm job consists of: its batch script, its files, and the calls of the runner."""
