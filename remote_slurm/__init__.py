"""Kubernetes pods on a Slurm cluster that is reached only by SSH.

The way a pod takes::

    POST /create  JSON -> Pod -> JobPlan -> job.sh + files -> one remote script: unpack, sbatch, record the id
    every N s     one remote look each: squeue --me; the records that runners dropped into the spool
    GET /status   what the last looks left in memory -> PodStatus JSON   (never waits for SSH)
    GET /getLogs  tail at the site -> streamed through
    POST /delete  remembered -> one remote script: tombstone, scancel, grace, remove the folder

Imports go one way: cli -> api -> service -> remote -> domain -> config -> errors.
"""

__version__ = "0.1.0"
