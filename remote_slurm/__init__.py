"""Kubernetes pods on a Slurm cluster that is reached only by SSH.

The path of a pod::

    POST /create  JSON -> Pod -> JobPlan -> job.sh + files -> one remote script: unpack, sbatch, record the id
    every N s     one remote script each: squeue --me; the records that runners dropped into the spool
    GET /status   memory -> PodSummary -> PodStatus JSON   (never waits for SSH)
    GET /getLogs  tail at the site -> streamed through
    POST /delete  journal -> one remote script: tombstone, scancel, grace, remove the folder

Imports go one way: cli -> api -> service -> site -> ssh, domain -> config -> errors, log.
"""

__version__ = "0.2.0"
