"""The states of a Slurm job, and what each means for the containers of a pod."""

from __future__ import annotations

from enum import Enum, auto
from typing import Self


class JobPhase(Enum):
    """What a job's state means for the pod's containers."""

    WAITING = auto()
    RUNNING = auto()
    ENDED = auto()
    UNKNOWN = auto()


class JobState(Enum):
    """Every state that squeue and sacct print, Slurm 20.11 to 26.05 (JOB STATE CODES in squeue(1) and sacct(1))."""

    PENDING = "PENDING", JobPhase.WAITING
    CONFIGURING = "CONFIGURING", JobPhase.WAITING
    REQUEUED = "REQUEUED", JobPhase.WAITING
    REQUEUE_FED = "REQUEUE_FED", JobPhase.WAITING
    REQUEUE_HOLD = "REQUEUE_HOLD", JobPhase.WAITING
    RESV_DEL_HOLD = "RESV_DEL_HOLD", JobPhase.WAITING
    SPECIAL_EXIT = "SPECIAL_EXIT", JobPhase.WAITING
    POWER_UP_NODE = "POWER_UP_NODE", JobPhase.WAITING
    RUNNING = "RUNNING", JobPhase.RUNNING
    COMPLETING = "COMPLETING", JobPhase.RUNNING
    EXPEDITING = "EXPEDITING", JobPhase.RUNNING
    RESIZING = "RESIZING", JobPhase.RUNNING
    SIGNALING = "SIGNALING", JobPhase.RUNNING
    STAGE_OUT = "STAGE_OUT", JobPhase.RUNNING
    STOPPED = "STOPPED", JobPhase.RUNNING
    SUSPENDED = "SUSPENDED", JobPhase.RUNNING
    UPDATE_DB = "UPDATE_DB", JobPhase.RUNNING
    COMPLETED = "COMPLETED", JobPhase.ENDED
    BOOT_FAIL = "BOOT_FAIL", JobPhase.ENDED
    CANCELLED = "CANCELLED", JobPhase.ENDED
    DEADLINE = "DEADLINE", JobPhase.ENDED
    FAILED = "FAILED", JobPhase.ENDED
    LAUNCH_FAILED = "LAUNCH_FAILED", JobPhase.ENDED
    NODE_FAIL = "NODE_FAIL", JobPhase.ENDED
    OUT_OF_MEMORY = "OUT_OF_MEMORY", JobPhase.ENDED
    PREEMPTED = "PREEMPTED", JobPhase.ENDED
    RECONFIG_FAIL = "RECONFIG_FAIL", JobPhase.ENDED
    TIMEOUT = "TIMEOUT", JobPhase.ENDED
    REVOKED = "REVOKED", JobPhase.UNKNOWN  # another cluster of the federation has started the job
    UNKNOWN = "UNKNOWN", JobPhase.UNKNOWN

    phase: JobPhase

    def __new__(cls, word: str, phase: JobPhase) -> Self:
        member = object.__new__(cls)
        member._value_ = word
        member.phase = phase
        return member

    @classmethod
    def parse(cls, text: str) -> JobState:
        """`CANCELLED by 1000` and `RUNNING` alike; a word that Slurm has learned since is UNKNOWN, never an end."""
        word = text.split(maxsplit=1)[0].rstrip("+") if text.split() else ""
        return _STATES.get(word, cls.UNKNOWN)


_STATES = {state.value: state for state in JobState}
