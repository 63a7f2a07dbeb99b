"""The port of the Virtual Kubelet's phase logic, row by row of what is known of it."""

from typing import Any

import pytest

from tests.pods import Json, pod, sh
from tests.vk import VkCrash, faults, next_phase, setbacks

WAITING = {"waiting": {"reason": "Pending"}}
RUNNING = {"running": {"startedAt": "2026-07-14T10:00:00Z"}}
ENDED = {"terminated": {"exitCode": 0, "reason": "Completed"}}
FAILED = {"terminated": {"exitCode": 3, "reason": "Error"}}


def answer(a_pod: Json, containers: dict[str, Json] | None, init: dict[str, Json] | None = None) -> list[Json]:
    def listed(states: dict[str, Json] | None) -> list[Json] | None:
        return states and [
            {"name": name, "state": state, "ready": "running" in state, "restartCount": 0}
            for name, state in states.items()
        ]

    metadata = a_pod["metadata"]
    named = {"name": metadata["name"], "UID": metadata["uid"], "namespace": "default", "JID": "7"}
    return [named | {"containers": listed(containers), "initContainers": listed(init) or []}]


TWO = pod(sh("a", "true"), sh("b", "true"))
WITH_INIT = pod(sh("a", "true"), initContainers=[sh("one", "true"), sh("two", "true")])


@pytest.mark.parametrize("containers", [None, {}])
def test_no_containers_are_taken_for_success(containers: Any) -> None:
    assert next_phase(TWO, "Pending", 200, answer(TWO, containers)) == "Succeeded"


@pytest.mark.parametrize(
    ("states", "phase"),
    [
        ({"a": ENDED}, "Succeeded"),
        ({"a": ENDED, "b": ENDED}, "Succeeded"),
        ({"a": ENDED, "b": FAILED}, "Failed"),
        ({"a": FAILED, "b": RUNNING}, "Running"),
        ({"a": ENDED, "b": RUNNING}, "Running"),
        ({"a": WAITING, "b": RUNNING}, "Running"),
        ({"a": WAITING, "b": WAITING}, "Pending"),
        ({"a": WAITING, "b": FAILED}, "Pending"),
        ({"a": {}, "b": FAILED}, "was"),
    ],
)
def test_states_of_containers_make_the_phase(states: dict[str, Json], phase: str) -> None:
    assert next_phase(TWO, "was", 200, answer(TWO, states)) == phase


def test_a_missing_container_beside_a_failed_one_crashes_it() -> None:
    with pytest.raises(VkCrash):
        next_phase(TWO, "Running", 200, answer(TWO, {"a": FAILED}))


@pytest.mark.parametrize(
    ("init", "states", "phase"),
    [
        ({"one": RUNNING, "two": WAITING}, WAITING, "Pending"),
        ({"one": ENDED, "two": ENDED}, RUNNING, "Running"),
        ({"one": FAILED, "two": WAITING}, WAITING, "Pending"),
        ({"one": FAILED, "two": FAILED}, FAILED, "Failed"),
        ({"one": ENDED, "two": RUNNING}, RUNNING, "Pending"),
    ],
)
def test_init_containers_come_first(init: dict[str, Json], states: Json, phase: str) -> None:
    assert next_phase(WITH_INIT, "Pending", 200, answer(WITH_INIT, {"a": states}, init)) == phase


def test_init_containers_out_of_order_crash_it() -> None:
    with pytest.raises(VkCrash):
        next_phase(WITH_INIT, "Pending", 200, answer(WITH_INIT, {"a": WAITING}, {"two": WAITING, "one": ENDED}))


@pytest.mark.parametrize(("code", "statuses"), [(503, None), (200, None), (200, []), (200, answer(WITH_INIT, {}))])
def test_an_answer_that_says_nothing_of_the_pod_changes_nothing(code: int, statuses: Any) -> None:
    assert next_phase(TWO, "Running", code, statuses) == "Running"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_the_end_is_final(phase: str) -> None:
    assert next_phase(TWO, phase, 200, answer(TWO, {"a": RUNNING, "b": RUNNING})) == phase


def test_a_right_answer_has_no_faults() -> None:
    [status] = answer(WITH_INIT, {"a": WAITING}, {"one": ENDED, "two": RUNNING})
    assert faults(WITH_INIT, status) == []


@pytest.mark.parametrize(
    "state",
    [
        {},
        RUNNING | ENDED,
        {"running": {}},
        {"running": {"startedAt": ""}},
        {"running": {"startedAt": "2026-07-14T10:00:00"}},
        {"terminated": {"exitCode": "0"}},
        {"terminated": {}},
        {"dreaming": {}},
        None,
    ],
)
def test_a_state_that_go_or_vk_would_misread_is_a_fault(state: Any) -> None:
    [status] = answer(TWO, {"a": state or {}, "b": WAITING})
    assert faults(TWO, status)


@pytest.mark.parametrize("names", [["a"], ["b", "a"], ["a", "b", "c"]])
def test_containers_are_those_of_the_spec_in_their_order(names: list[str]) -> None:
    [status] = answer(TWO, dict.fromkeys(names, WAITING))
    assert faults(TWO, status)


def test_a_native_sidecar_in_the_answer_is_a_fault() -> None:
    native = pod(sh("a", "true"), initContainers=[sh("proxy", "true", restartPolicy="Always")])
    assert faults(native, answer(native, {"a": RUNNING}, {"proxy": RUNNING})[0])
    assert not faults(native, answer(native, {"a": RUNNING})[0])


@pytest.mark.parametrize(
    ("before", "after"), [(RUNNING, WAITING), (ENDED, RUNNING), (FAILED, WAITING), (FAILED, ENDED)]
)
def test_no_way_leads_back(before: Json, after: Json) -> None:
    [old], [new] = (answer(TWO, {"a": state, "b": WAITING}) for state in (before, after))
    assert setbacks(old, new)
    assert not setbacks(old, old)


def test_a_pod_keeps_its_job() -> None:
    [old], [new] = answer(TWO, {"a": WAITING, "b": WAITING}), answer(TWO, {"a": WAITING, "b": WAITING})
    assert setbacks(old, new | {"JID": "8"})
