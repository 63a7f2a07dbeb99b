"""How a person names a pod, and how tables look."""

from pathlib import Path

import pytest

from remote_slurm.cli.documents import Json
from remote_slurm.cli.naming import as_kubernetes, named_in, the_pod
from remote_slurm.cli.status import _COLUMNS, _MORE_COLUMNS, _row
from remote_slurm.cli.tables import Uncut
from remote_slurm.errors import InvalidRequest

UID = "6b1c2a0e-53f4-4f5c-9d52-0b8c8f2a7d10"


def _pod(name: str, uid: str) -> Json:
    return {"pod": f"{name.partition('/')[0]}-{uid}", "name": name, "graceSeconds": 7}


SITE = {"site": "me@hpc", "pods": [_pod("default/hello", UID), _pod("team-a/twice", "1"), _pod("team-a/twice", "2")]}


@pytest.mark.parametrize("named", ["default/hello", "hello", UID, f"default/{UID}", f"default-{UID}"])
def test_all_its_names(named: str) -> None:
    assert the_pod(SITE, named)["name"] == "default/hello"


def test_a_uid_is_exact_where_a_name_is_not() -> None:
    assert the_pod(SITE, "team-a/2")["pod"] == "team-a-2"


def test_a_name_that_two_pods_have() -> None:
    with pytest.raises(
        InvalidRequest,
        match="'twice' is the name of 2 pods: use --namespace, or the folder of one of them: team-a-1, team-a-2",
    ):
        the_pod(SITE, "twice")


@pytest.mark.parametrize("named", ["", "hell", "default", "other/hello"])
def test_no_such_pod(named: str) -> None:
    with pytest.raises(InvalidRequest, match=f"there is no pod '{named}' at me@hpc"):
        the_pod(SITE, named)


def test_as_much_of_a_pod_as_delete_wants() -> None:
    assert as_kubernetes(SITE["pods"][1]) == {
        "metadata": {"name": "twice", "namespace": "team-a", "uid": "1"},
        "spec": {"terminationGracePeriodSeconds": 7},
    }


def test_a_delete_may_have_a_grace_period_of_its_own() -> None:
    assert as_kubernetes(SITE["pods"][1], 0)["metadata"]["deletionGracePeriodSeconds"] == 0


def test_the_pod_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("{kind: Pod, metadata: {name: x}}")
    (tmp_path / "b.yml").write_text("{kind: Pod, metadata: {name: x, namespace: n, uid: u}}")
    assert named_in(str(tmp_path / "a.yaml")) == "default/x"
    assert named_in(str(tmp_path / "b.yml")) == "n/u"
    assert named_in("default/x") == "default/x"


LISTED = {
    "pod": "p",
    "name": "a/very-long-name",
    "jobId": "17",
    "state": "RUNNING",
    "reason": "",
    "node": "cn042",
    "ports": [8888, 6006],
    "ageSeconds": 1,
    "initContainers": [],
    "containers": [{"name": "c", "state": "running"}],
}


def table(pod: Json, *, wide: bool = False) -> list[str]:
    columns = (*_COLUMNS, *_MORE_COLUMNS) if wide else _COLUMNS
    return list(Uncut(columns).lines([list(_row(pod, "", wide=wide))]))


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    header, row = table(LISTED)
    assert header.index("JOB") == row.index("17 ")
    assert header.index("NODE") == row.index("cn042")
    assert not row.endswith(" ")


def test_wide_output_has_the_ports_too() -> None:
    header, row = table(LISTED, wide=True)
    assert header.index("PORTS") == row.index("8888,6006")
    earlier = {key: value for key, value in LISTED.items() if key not in ("node", "ports")}
    assert table(earlier, wide=True)[1].split()[5:] == ["-", "-", "c:", "running", "-", "p"]


def test_a_namespace_is_for_names_without_one() -> None:
    twice = {"site": "me@hpc", "pods": [_pod("a/x", "1"), _pod("b/x", "2")]}
    assert the_pod(twice, "x", "b")["pod"] == "b-2"
    assert the_pod(twice, "a/x", "b")["pod"] == "a-1"
    with pytest.raises(InvalidRequest, match="there is no pod 'x' in namespace 'c' at me@hpc"):
        the_pod(twice, "x", "c")


def test_a_file_with_another_namespace_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("{kind: Pod, metadata: {name: x, namespace: n}}")
    assert named_in(str(file), "n") == "n/x"
    with pytest.raises(InvalidRequest, match="Pod 'x' is in namespace 'n', and --namespace is 'm': omit one"):
        named_in(str(file), "m")
