"""A container's variables: which it gets, and in which file each of them travels."""

import hashlib
import subprocess
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remote_slurm.domain.pod.environment import carried_entries, environment, own_entries, shell_lines
from remote_slurm.domain.pod.job_values import fill_calls
from remote_slurm.domain.shell import quote_escaped
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import container, pod, request

Json = dict[str, Any]


def variables(env: list[Json], annotations: dict[str, str] | None = None, **fields: Any) -> dict[str, str]:
    parsed = request(pod(container(env=env, **fields), annotations=annotations)).pod
    return environment(parsed.spec.containers[0], parsed)


def value_from(**source: Any) -> Json:
    return {"name": "V", "valueFrom": source}


def field(path: str) -> Json:
    return value_from(fieldRef={"fieldPath": path})


def test_the_last_one_of_a_name_counts() -> None:
    assert variables([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]) == {"A": "2"}


def test_references_to_earlier_variables() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": "2"}]
    assert variables(env)["B"] == "1$(C)"


def test_what_the_virtual_kubelet_has_expanded_stays_as_it_is() -> None:
    resolved = {"name": "KUBERNETES_SERVICE_HOST", "value": "10.0.0.1"}
    assert variables([{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}, resolved])["B"] == "$(A)"


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (field("metadata.name"), "hello"),
        (field("metadata.namespace"), "default"),
        (field("metadata.annotations['a']"), "b"),
        (field("metadata.labels['absent']"), ""),
        (field("status.podIP"), "10.7.0.2"),
        (value_from(resourceFieldRef={"resource": "limits.cpu"}), "2"),
        (value_from(resourceFieldRef={"resource": "requests.cpu"}), "2"),
        (value_from(resourceFieldRef={"resource": "limits.memory", "divisor": "1Mi"}), "96"),
        (value_from(resourceFieldRef={"resource": "requests.ephemeral-storage"}), "0"),
    ],
)
def test_what_the_virtual_kubelet_has_left(source: Json, value: str) -> None:
    limits = {"limits": {"cpu": "1500m", "memory": "100M"}}
    annotations = {"interlink.eu/pod-ip": "10.7.0.2", "a": "b"}
    assert variables([source], annotations, resources=limits) == {"POD_IP": "10.7.0.2", "V": value}


@pytest.mark.parametrize(
    ("source", "limits", "asked"),
    [
        (field("status.podIP"), {}, "address-1-1"),
        (field("status.hostIP"), {}, "address-1-1"),
        (field("spec.nodeName"), {}, "node-1-1"),
        (value_from(resourceFieldRef={"resource": "limits.cpu"}), {}, "cpu-1-1"),
        (value_from(resourceFieldRef={"resource": "limits.cpu", "divisor": "1m"}), {}, "cpu-1000-1"),
        (value_from(resourceFieldRef={"resource": "limits.memory", "divisor": "1Mi"}), {}, "memory-1-1048576"),
        (value_from(resourceFieldRef={"resource": "limits.memory"}), {"memory": "0"}, "memory-1-1"),
        (value_from(resourceFieldRef={"resource": "limits.ephemeral-storage"}), {"memory": "0"}, "storage-1-1"),
    ],
)
def test_the_job_fills_in_what_only_the_job_knows(source: Json, limits: Json, asked: str) -> None:
    parsed = request(pod(container(env=[source], resources={"limits": limits}), nodeName="")).pod
    value = environment(parsed.spec.containers[0], parsed)["V"]
    digest = hashlib.sha256(parsed.metadata.uid.encode()).hexdigest()[:12]
    assert value == f"remote-slurm-{digest}-{asked}."
    file = ("secret/env-main", f"a {value} b".encode())
    assert [*fill_calls(parsed, [file, ("secret/other", b"x"), ("volumes/v/a", value.encode()), ("secret", None)])] == [
        ("job_value", value, *asked.split("-")),
        ("fill_in", "secret/env-main"),
    ]
    assert not [*fill_calls(parsed, [("secret/other", b"x")])]


def test_an_optional_key_that_did_not_come_leaves_the_variable_out() -> None:
    assert variables([value_from(secretKeyRef={"name": "s", "key": "k", "optional": True})]) == {}


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"name": "", "value": "x"}, "must not be empty"),
        ({"name": "A=B", "value": "x"}, "invalid environment variable name 'A=B'"),
        ({"name": "A", "value": "a\0b"}, "'A' of container 'main': must not contain a NUL character"),
        (
            value_from(secretKeyRef={"name": "s", "key": "k"}),
            "no value for environment variable 'V' of container 'main'",
        ),
        (field("status.qosClass"), "invalid fieldPath 'status.qosClass' of"),
        (
            value_from(resourceFieldRef={"resource": "limits.hugepages-2Mi"}),
            "needs limits.hugepages-2Mi of container 'main', which is not set",
        ),
        (value_from(resourceFieldRef={"resource": "limits.cpu", "containerName": "x"}), "container 'x'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(item: Json, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        variables([item])
    assert words in str(refused.value)


@pytest.mark.parametrize("name", ["a.b", "1A", "A B", "", "ünï", "UID", "HOME", "IFS", "_", "a-b"])
def test_names_that_no_shell_holds_travel_apart(name: str) -> None:
    values = {name: "x", "PLAIN": "y"}
    assert shell_lines(values) == b"PLAIN=y\n"
    of_the_shell = name in ("UID", "HOME", "IFS", "_")
    assert carried_entries(values) == (b"" if of_the_shell else f"{name}=x\0".encode())
    assert own_entries(values) == ((f"{name}=x",) if of_the_shell else ())


_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


@settings(max_examples=40, deadline=None)  # each starts a shell
@given(st.dictionaries(st.from_regex(r"V[A-Z0-9_]{0,8}", fullmatch=True), _TEXT, min_size=1, max_size=5))
def test_a_shell_reads_every_value_back_byte_for_byte(values: dict[str, str]) -> None:
    script = f"set -a\n{shell_lines(values).decode()}\nexec env -0"
    shown = subprocess.run(
        ["bash", "-s"], input=script.encode(), env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    found = dict(entry.split("=", 1) for entry in shown.stdout.decode().split("\0") if entry)
    assert {name: found.get(name) for name in values} == values


@settings(max_examples=40, deadline=None)  # each starts a shell
@given(_TEXT)
@example("one\r\ntwo\u0080")
@example("it's\\\n\x7f\U0001f4a9")
def test_escaped_words_are_read_back_byte_for_byte(value: str) -> None:
    script = f"printf %s {quote_escaped(value)}"
    assert "\r" not in script
    shown = subprocess.run(
        ["bash", "-s"], input=script.encode(), env={"LC_ALL": "C.UTF-8"}, capture_output=True, check=True
    )
    assert shown.stdout.decode() == value
