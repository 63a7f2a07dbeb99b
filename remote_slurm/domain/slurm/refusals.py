"""Classify the message of a failed sbatch: permanent, temporary, not sent, or unknown.

The words are Slurm's own (slurm_errno.c, Slurm 20.11 to 26.05); sbatch's exit code is 1 for all of them.
"""

from __future__ import annotations

from enum import Enum, auto


class Refusal(Enum):
    """What a failed sbatch means for the pod."""

    FOR_GOOD = auto()
    FOR_NOW = auto()
    NOT_SENT = auto()
    UNKNOWN = auto()


# slurmctld was not reached, so that it has accepted nothing: it, munged or the source of the configuration is down
# (seen with 24.11: sbatch gives up after MessageTimeout), or none of the controllers is in charge
_NOT_SENT = (
    "(connect failure)",
    "Munge encode failed",
    "Could not establish a configuration source",
    "standby mode",
    "Unable to process configuration file",
    "DNS SRV lookup failed",
    "Unable to establish controller machine",
    "Unable to establish control machine",
    "Unable to determine the cluster controller",
)
# The job may have been accepted although sbatch reports a failure
_UNKNOWN = (
    "Socket timed out",
    "Unable to contact slurm controller",
    "Zero Bytes were transmitted",
    "Connection reset",
    "Broken pipe",
    "Unexpected message received",
    "Communication connection failure",
    "Communication shutdown failure",
    "Message receive failure",
    "Message send failure",
    "Insane message length",
    "Transport endpoint",
    "Protocol authentication error",
    "Header lengths are longer than data received",
    "Unknown error",
)
# Limits of an association, a QOS or the cluster that pass. They come before the sentence "Job violates accounting/QOS
# policy", which is printed for limits that never pass as well.
_LIMITS = (
    "QOSMaxSubmitJobPerUserLimit",
    "AssocMaxSubmitJobLimit",
    "MaxSubmitJob",
    "GrpSubmitJob",
    "Too many jobs",
    "MaxJobCount limit reached",
)
# What an administrator or time mends, without a change of the pod
_FOR_NOW = (
    *_LIMITS,
    "temporarily unable",
    "Resource temporarily unavailable",
    "Slurm temporarily",
    "rate limit",
    "RPC limit",
    # partitions, nodes, reservations and licenses
    "Required partition not available",
    "Requested partition configuration not available now",
    "Required node not available",
    "Requested nodes are busy",
    "Requested reservation is in use",
    "Requested reservation not usable now",
    "Licenses not available",
    "License not available",
    "Licenses requested not available",
    "Licenses currently unavailable",
    "due to maintenance reservation",
    "No eligible clusters",
    "breached requested QOS usage threshold",
    "Job held by",
    "Partition is down",
    # slurmctld and its host
    "Requested operation is presently disabled",
    "I/O error writing script/environment to file",
    "Error writing file",
    "No space left on device",
    "Disk quota exceeded",
    "Read-only file system",
    "Cannot allocate memory",
    "Too many open files",
    "Unable to create batch script",
    "Unable to create job record, try again",
    "Plugin initialization failed",
    "Incompatible versions of client and server code",
    "Slurm is in maintenance",
    "Reconfiguration in progress",
    "Configuration changed",
    "Duplicate job id",
    # users, groups and the accounting database
    "Invalid user id",
    "Invalid group id",
    "User id not found",
    "Group ID not found",
    "Unable to connect to database",
    "Database is busy",
    "Slurm database",
    "slurmdbd",
    "Error with request to the database",
    "Association not in database yet",
    "Job credential",
    # a job_submit.lua that is broken; before 26.05 such a job was accepted, or refused with "Unspecified error"
    "Lua function",
    "Lua script",
)
# Errors of slurmctld that no time mends
_FOR_GOOD = (
    "Invalid partition",
    "No partition specified",
    "default partition",
    "Invalid account",
    "Invalid qos",
    "Invalid Trackable RESource",
    "Invalid generic resource",
    "Duplicate generic resource",
    "Invalid GRES specification",
    "Requested GRES option unsupported",
    "RestrictedCoresPerGPU",
    "Invalid extra constraints",
    "Invalid feature",
    "Invalid preferred feature",
    "Invalid constraint",
    "Invalid license",
    "Invalid wckey",
    "Invalid burst buffer",
    "Burst Buffer request invalid",
    "Invalid node name",
    "Invalid job array",
    "Invalid job id",
    "Invalid script",
    "Invalid --",
    "Invalid cluster name",
    "Invalid core reservation",
    "Invalid job container",
    "Invalid KNL configuration",
    "Requested reservation is invalid",
    "Access denied to requested reservation",
    "Access/permission denied",
    "User's group not permitted",
    "User not permitted",
    "not permitted to use this partition",
    "Node count specification invalid",
    "Requested node configuration is not available",
    "topology",
    "More processors requested than permitted",
    "Requested time limit is invalid",
    "Time limit specification required",
    "Invalid time-min",
    "Memory required by task is not available",
    "Memory specification can not be satisfied",
    "Job violates accounting/QOS policy",
    "Job dependency problem",
    "Job size specification",
    "CPU count per node can not be satisfied",
    "CPU count specification",
    "Task count specification",
    "Task distribution specification",
    "does not permit arbitrary task distribution",
    "Requested nodes not in this partition",
    "Job --batch option is invalid",
    "Multiple partition job request not supported",
    "Invalid cluster feature",
    "Requested operation not supported",
    "Minimum CPU count",
    "Socket, core and/or thread specification",
    "Batch script is empty",
    "Batch script contains DOS line breaks",
    "This does not look like a batch script",
    "Unspecified error",
    "Requested feature is not available",
    "Pathname of a file, directory or other parameter too long",
    "Pathname is too long",
    "Immediate execution impossible",
    "Requested accounting frequency",
    "Switch count specification",
    "Requested cluster",
    "Job cannot be submitted without",
    "Reboot of nodes is not permitted",
    "Incorrect permissions",
    "Defer",
    "PrologFlags",
    "Only one of",
    "can not be used with",
)
_FROM_SLURMCTLD = "submission failed:"

# Whole reasons of slurmctld that follow a value of the pod
_CERTAIN = {
    "invalid partition name specified",
    "invalid account or account/partition combination specified",
    "invalid qos specification",
    "invalid generic resource (gres) specification",
}

_CLASSES = (
    (Refusal.NOT_SENT, _NOT_SENT),
    (Refusal.UNKNOWN, _UNKNOWN),
    (Refusal.FOR_NOW, _FOR_NOW),
    (Refusal.FOR_GOOD, _FOR_GOOD),
)


def classify_refusal(message: str) -> Refusal:
    """The class of what sbatch printed.

    Words of slurmctld that are not in a table are UNKNOWN: a job may exist. Without such words sbatch, or a plugin of
    it, refused the job before it asked slurmctld.

    Before slurmctld's reason sbatch prints values of the pod, such as the name of a partition that does not exist: they
    do not count where the reason is certain.
    """
    lower = message.lower()
    _, found, reason = lower.rpartition(_FROM_SLURMCTLD)
    if found and reason.strip() in _CERTAIN:
        return Refusal.FOR_GOOD
    for refusal, parts in _CLASSES:
        if any(part.lower() in lower for part in parts):
            return refusal
    return Refusal.UNKNOWN if _FROM_SLURMCTLD in lower else Refusal.FOR_GOOD
