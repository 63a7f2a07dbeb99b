"""Why a job is pending: Slurm's reason code (JOB REASON CODES in squeue(1)), and a sentence that explains it."""

from __future__ import annotations

from remote_slurm.domain.slurm.job import Job

_SENTENCES = {
    "AccountNotAllowed": "its account may not use the partition",
    "AssociationJobLimit": "the account's limit of jobs is reached",
    "BadConstraints": "no node fits its constraints",
    "BeginTime": "its earliest start time has not come",
    "BurstBufferResources": "waiting for burst buffer space",
    "BurstBufferStageIn": "its burst buffer is being filled",
    "Cleaning": "it was requeued, and its last run is being cleaned up",
    "Dependency": "waiting for another job to end",
    "DependencyNeverSatisfied": "the job that it depends on ended in a way that never lets it start",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its QOS is not valid",
    "JobArrayTaskLimit": "the limit of its job array is reached",
    "JobHeldAdmin": "an administrator holds it",
    "JobHeldUser": "its user holds it",
    "JobHoldMaxRequeue": "it was requeued too often, and is held",
    "job_requeued_in_held_state": "it was requeued, and is held",
    "launch_failed_requeued_held": "its node could not start it, as if the node's prolog fails, and it is held",
    "Licenses": "waiting for a licence",
    "MaxRequeue": "it was requeued too often",
    "NodeDown": "a node that it needs is down",
    "NonZeroExitCode": "it ended with a non-zero exit code",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition does not start jobs now",
    "PartitionNodeLimit": "it asks for more nodes or processors than its partition has",
    "PartitionTimeLimit": "it asks for more time than its partition allows",
    "Priority": "jobs of higher priority come first",
    "Prolog": "the node is being prepared for it",
    "QOSJobLimit": "its QOS has reached the limit of jobs",
    "QOSNotAllowed": "its QOS may not be used in this partition",
    "QOSResourceLimit": "its QOS has reached a limit of resources",
    "QOSTimeLimit": "its QOS has reached its limit of time",
    "ReqNodeNotAvail": "nodes that it needs are down, drained or reserved",
    "Reservation": "waiting for its reservation to begin",
    "ReservationDeleted": "its reservation was deleted",
    "Resources": "waiting for nodes to become free",
    "SchedDefer": "it asks for an immediate allocation, which SchedulerParameters=defer does not allow",
    "TimeLimit": "it reached its time limit",
}

# Families of words that Slurm makes of a limit's name, such as QOSMaxCpuPerUserLimit
_FAMILIES = (
    ("QOSMax", "a limit of its QOS for each user or account is reached"),
    ("QOSGrp", "a limit of its QOS for all its jobs together is reached"),
    ("QOSMin", "it asks for less than its QOS demands"),
    ("AssocMax", "a limit of its account for each user is reached"),
    ("AssocGrp", "a limit of its account for all its jobs together is reached"),
    ("MaxTRES", "it asks for more than its limits allow"),
    ("Nodes_required_for_job", "nodes that it needs are down, drained, or reserved for jobs of higher priority"),
)


def reason_word(job: Job) -> str:
    """Slurm's word, without what squeue puts behind it (`ReqNodeNotAvail, UnavailableNodes:n1`).

    Empty if the scheduler has not considered the job yet.
    """
    word = job.reason.split(",")[0].strip().replace(" ", "_")
    return "" if word == "None" else word


OTHER_REASONS = "other"
NO_REASON = "None"


def reason_label(job: Job) -> str:
    """The reason as one of few words: a code or the start of a family above, `other`, or `None` if there is none."""
    word = reason_word(job)
    if word in _SENTENCES:
        return word
    return next((start for start, _ in _FAMILIES if word.startswith(start)), OTHER_REASONS if word else NO_REASON)


def reason_meaning(label: str) -> str:
    """What a label of `reason_label` means; empty for `other` and `None`."""
    return _SENTENCES.get(label) or dict(_FAMILIES).get(label, "")


def pending_sentence(job: Job) -> str:
    """`Resources: waiting for nodes to become free`; an unknown code is returned alone."""
    word = reason_word(job)
    if not word:
        return ""
    family = next((sentence for start, sentence in _FAMILIES if word.startswith(start)), "")
    sentence = _SENTENCES.get(word, family)
    return f"{job.reason}: {sentence}" if sentence else job.reason
