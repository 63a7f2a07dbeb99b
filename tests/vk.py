"""What the Virtual Kubelet makes of the sidecar's answers: a port of its phase logic, from interLink 0.2 to 0.7.

Its odd corners are ported too, since they are the reason for what the sidecar answers: test_vk.py has a test for each.
`Watched` polls as VK does, and asserts at every poll that the answer is one that VK cannot misread.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from tests.pods import Json
from tests.sidecar import PATIENCE, Answer, Client, looks

FINAL = ("Succeeded", "Failed")
_STATES = ("waiting", "running", "terminated")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


class VkCrash(Exception):
    """The answer makes VK dereference nil: every pod of the node suffers."""


def next_phase(pod: Json, phase: str, code: int, statuses: Any) -> str:
    """The pod's phase after one answer to `GET /status`; `statuses` is its JSON, or None where it is none."""
    if phase in FINAL or code != 200 or not isinstance(statuses, list):
        return phase
    status = next((each for each in statuses if each.get("UID") == pod["metadata"]["uid"]), None)
    if status is None:
        return phase
    containers = status.get("containers") or []
    if not containers:
        return "Succeeded"
    init = status.get("initContainers") or []
    if [each["name"] for each in init] != _names(pod, "initContainers")[: len(init)]:
        raise VkCrash("init containers are indexed by their place")
    return _by_states(pod, phase, [_state(each) for each in init], [_state(each) for each in containers])


def _by_states(pod: Json, phase: str, init: list[str], containers: list[str]) -> str:
    if "" in (*init, *containers):
        return phase
    if "waiting" in init or "running" in init:
        return "Pending"
    if "running" in containers:
        return "Running"
    if "waiting" in containers:
        return "Pending"
    if "failed" in (*init, *containers):
        if len(containers) < len(pod["spec"]["containers"]):
            raise VkCrash("a container is missing while another one failed")
        return "Failed"
    return "Succeeded"


def _state(status: Json) -> str:
    """The exit code decides, whatever the reason says."""
    state = status.get("state") or {}
    if state.get("terminated"):
        return "failed" if state["terminated"].get("exitCode", 0) else "succeeded"
    return next((name for name in ("running", "waiting") if state.get(name) is not None), "")


def _names(pod: Json, kind: str) -> list[str]:
    return [each["name"] for each in pod["spec"].get(kind) or [] if each.get("restartPolicy") != "Always"]


# --- what an answer must be -----------------------------------------------------------------------------------------


def faults(pod: Json, status: Json) -> list[str]:
    """What is wrong with one PodStatus; nothing, where VK and Go can take it."""
    metadata = pod["metadata"]
    found = [
        f"{key} is {status.get(key)!r}"
        for key, right in (("name", metadata["name"]), ("UID", metadata["uid"]), ("namespace", metadata["namespace"]))
        if status.get(key) != right
    ]
    if not isinstance(status.get("JID"), str):
        found.append(f"JID is {status.get('JID')!r}")
    for kind, key in (("containers", "containers"), ("initContainers", "initContainers")):
        names = [each.get("name") for each in status.get(key) or []]
        if names != _names(pod, kind):
            found.append(f"{key} are {names}")
        found += [fault for each in status.get(key) or [] for fault in _container_faults(each)]
    return found


def _container_faults(status: Json) -> list[str]:
    name, state = status.get("name"), status.get("state")
    if not isinstance(state, dict) or len(state) != 1 or next(iter(state)) not in _STATES:
        return [f"container {name} has the state {state!r}"]
    kind, reported = next(iter(state.items()))
    found = []
    for key, value in reported.items():
        if key.endswith("At") and not _is_time(value):
            found.append(f"container {name} has {key} {value!r}")
    if kind == "running" and "startedAt" not in reported:
        found.append(f"container {name} runs since nobody knows when")
    if kind == "terminated" and type(reported.get("exitCode")) is not int:
        found.append(f"container {name} has the exit code {reported.get('exitCode')!r}")
    if (
        kind == "terminated"
        and reported.get("exitCode")
        and reported.get("finishedAt", "9") < reported.get("startedAt", "0")
    ):
        found.append(f"container {name} ended before it began: {reported}")
    if status.get("ready") != (kind == "running") or not isinstance(status.get("restartCount"), int):
        found.append(f"container {name} is {kind}, ready {status.get('ready')!r}")
    return found


def _is_time(value: object) -> bool:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        return False
    return datetime.fromisoformat(value).tzinfo is not None


def setbacks(before: Json, after: Json) -> list[str]:
    """What cannot be true of both, one after the other: ends are final, and what runs does not wait again.

    Unless Slurm runs the job again, which the count of restarts tells, or it is not ready, or waits for a restart.
    """
    found = ["there were more restarts before"] if _restarts(after) < _restarts(before) else []
    for key in ("containers", "initContainers"):
        for old, new in zip(before[key], after[key], strict=True):
            if new["restartCount"] > old["restartCount"]:
                continue
            was, now = next(iter(old["state"])), next(iter(new["state"]))
            if was == "running" and _may_wait_again(new["state"]):
                continue
            if _STATES.index(now) < _STATES.index(was):
                found.append(f"container {old['name']} was {was} and is {now}")
            elif was == now == "terminated" and old["state"] != new["state"]:
                found.append(f"container {old['name']} ended as {old['state']} and then as {new['state']}")
    if before["JID"] and before["JID"] != after["JID"]:
        found.append(f"the job id was {before['JID']} and is {after['JID']}")
    return found


def _may_wait_again(state: Json) -> bool:
    return state.get("waiting", {}).get("reason") in ("CrashLoopBackOff", "NotReady")


def _waits_still(status: Json) -> bool:
    """Whether one has not begun while another has ended: Pending for a kubelet too, which had never said Running."""
    states = [each["state"] for each in status["containers"]]
    first = any(state.get("waiting", {}).get("reason") == "PodInitializing" for state in states)
    return first and any("terminated" in state for state in states)


def _restarts(status: Json) -> int:
    return sum(each["restartCount"] for each in status["containers"])


# --- watching a pod -------------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """A pod under VK's eyes."""

    client: Client
    pod: Json
    job: str = ""
    phases: list[str] = field(default_factory=lambda: ["Pending"])
    status: Json | None = None

    @property
    def phase(self) -> str:
        return self.phases[-1]

    def poll(self) -> str:
        """Ask once; the phase. An answer that VK could misread fails the test."""
        answer = self.client.status(self.pod)
        assert answer.status == 200, answer
        return self.take(answer.json)

    def take(self, statuses: list[Json]) -> str:
        """Read an answer about this pod; the phase."""
        assert len(statuses) <= 1
        restarts = _restarts(self.status) if self.status else 0
        for status in statuses:
            assert not faults(self.pod, status), status
            back = setbacks(self.status, status) if self.status else []
            assert not back, back
            self.status = status
        phase = next_phase(self.pod, self.phase, 200, statuses)
        if phase != self.phase:
            runs_again = self.status and (
                _restarts(self.status) > restarts
                or any(_may_wait_again(each["state"]) for each in self.status["containers"])
                or _waits_still(self.status)
            )
            assert runs_again or (self.phase, phase) != ("Running", "Pending"), self.phases
            self.phases.append(phase)
        return phase

    def until(self, *phases: str, seconds: float = PATIENCE) -> "Watched":
        """Poll until the phase is one of these."""
        return self.until_true(lambda: self.phase in phases, f"the phase is {' or '.join(phases)}", seconds)

    def until_running(self, container: str, seconds: float = PATIENCE) -> "Watched":
        return self.until_true(lambda: "running" in self.state(container), f"{container} runs", seconds)

    def until_over(self, seconds: float = PATIENCE) -> "Watched":
        return self.until(*FINAL, seconds=seconds)

    def until_true(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> "Watched":
        if not any(self.poll() is None or condition() for _ in looks(seconds)):
            raise AssertionError(f"after {seconds} s it is not so that {what}: {self.status}")
        return self

    def state(self, container: str) -> Json:
        """The latest state of a container."""
        if self.status is None:
            return {}
        every = [*self.status["containers"], *self.status["initContainers"]]
        found: Json = next(each["state"] for each in every if each["name"] == container)
        return found

    def terminated(self, container: str) -> Json:
        found: Json = self.state(container)["terminated"]
        return found

    def exit_code(self, container: str) -> int:
        return int(self.terminated(container)["exitCode"])

    def log(self, container: str, **options: Any) -> str:
        answer = self.client.logs(self.pod, container, **options)
        assert answer.status == 200, answer
        return answer.text

    def delete(self) -> None:
        assert self.client.delete(self.pod).status == 200


class VirtualKubelet:
    """Creates pods through a sidecar, and watches them."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def create(self, body: Any) -> Watched:
        """`body` is create's, in either form; it must be accepted, with the pod's UID and a job id."""
        pod = (body[0] if isinstance(body, list) else body)["pod"]
        answer = self.client.create(body, session="CreatePod#1")
        created = answer.json
        assert set(created) == {"PodUID", "PodJID"}
        assert created["PodUID"] == pod["metadata"]["uid"]
        assert created["PodJID"].replace("_", "", 1).isdigit(), created
        return Watched(self.client, pod, created["PodJID"])

    def refused(self, body: Any) -> Answer:
        """The answer to a create that must not be accepted: one sentence."""
        answer = self.client.create(body)
        assert_sentence(answer)
        return answer


def assert_sentence(answer: Answer) -> None:
    """What every error is: a status code that is no success and no accident, and one clear line."""
    assert 400 <= answer.status < 600, answer
    assert answer.status != 500, answer
    assert answer.text, answer
    assert "\n" not in answer.text.strip(), answer
    assert "Traceback" not in answer.text, answer


def of(name: str) -> pytest.MarkDecorator:
    """Which of the pods that run side by side a test is about: see the fixture `over`."""
    return pytest.mark.parametrize("over", [name], indirect=True)
