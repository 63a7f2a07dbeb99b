"""Which pods of a list are meant: namespace, labels and state, in the syntax of kubectl."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from remote_slurm.cli.naming import the_pod
from remote_slurm.domain.pod.folder_name import namespace_of
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.errors import RemoteSlurmError

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json

Selector = Callable[[Mapping[str, str]], bool]

# The phases of PodPhase, and the states of a pod without a job in Slurm
PHASES = ("waiting", "running", "ending", "succeeded", "failed", "unknown")
_MORE_STATES = ("SUBMITTING", "ENDED")

_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9./_-]*[A-Za-z0-9])?"
_VALUE = r"[A-Za-z0-9._-]*"
_SETS = re.compile(rf"({_KEY})\s+(in|notin)\s*\(\s*({_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)")
_EQUALS = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_COMMAS = re.compile(r",(?![^()]*\))")  # not those of a set


def selector(text: str) -> Selector:
    """A label selector. Raises ArgumentTypeError for a text that is none."""
    requirements = [_requirement(part.strip()) for part in _COMMAS.split(text)]
    return lambda labels: all(holds(labels) for holds in requirements)


def _requirement(text: str) -> Selector:
    if found := _SETS.fullmatch(text):
        key, values, wanted = found[1], {each.strip() for each in found[3].split(",")}, found[2] == "in"
        return lambda labels: (key in labels and labels[key] in values) is wanted
    if found := _EQUALS.fullmatch(text):
        name, value, equal = found[1], found[3], found[2] != "!="
        return lambda labels: (labels.get(name) == value) is equal
    if found := _EXISTS.fullmatch(text):
        label, there = found[2], not found[1]
        return lambda labels: (label in labels) is there
    raise argparse.ArgumentTypeError(
        f"must be a label selector, such as app=train, app!=train, app, !app or 'app in (a,b)', not {text!r}"
    )


def states(text: str) -> frozenset[str]:
    """Phases and states of Slurm, in lower case. Raises ArgumentTypeError for any other word."""
    words = [word.strip().lower() for word in text.split(",")]
    known = [*PHASES, *(state.value for state in JobState), *_MORE_STATES]
    for word in words:
        if word not in map(str.lower, known):
            raise argparse.ArgumentTypeError(
                f"has no state {word!r}: must be {', '.join(PHASES)} or a job state of Slurm, such as TIMEOUT"
            )
    return frozenset(words)


def namespace(arguments: argparse.Namespace) -> str:
    """The namespace that is meant; empty for all of them."""
    return "" if arguments.all_namespaces else str(arguments.namespace)


def selected(overview: Json, names: Sequence[str], arguments: argparse.Namespace) -> list[Json]:
    """Return the pods of these names, or without a name those that the options select.

    Raises InvalidRequest if a name is unknown or ambiguous.
    """
    if names:
        return [the_pod(overview, name, namespace(arguments)) for name in names]
    return filtered(overview["pods"], arguments)


def filtered(pods: Iterable[Json], arguments: argparse.Namespace) -> list[Json]:
    """The pods that the options select. Raises RemoteSlurmError if the sidecar does not list what they need."""
    pods, wanted = list(pods), namespace(arguments)
    if arguments.selector and any("labels" not in pod for pod in pods):
        raise RemoteSlurmError(
            "the labels of pods are not known: the site is unreachable, or the sidecar is of an earlier version"
        )
    return [
        pod
        for pod in pods
        if (not wanted or namespace_of(pod["pod"]) == wanted)
        and all(holds(pod.get("labels") or {}) for holds in arguments.selector)
        and (not arguments.state or {*arguments.state} & {str(pod.get("phase", "")).lower(), str(pod["state"]).lower()})
    ]
