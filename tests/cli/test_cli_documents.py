"""POD.yaml: what it may hold, and a sentence for everything else."""

import codecs
from pathlib import Path

import pytest

from remote_slurm.cli.documents import Documents, read_documents
from remote_slurm.errors import InvalidRequest

POD = "kind: Pod\nmetadata: {name: a}\nspec: {}\n"


def read(folder: Path, text: str) -> Documents:
    path = folder / "pod.yaml"
    path.write_text(text)
    return read_documents(path)


def test_a_pod_with_what_it_uses(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        f"---\n{POD}---\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{k: v}}\n"
        "---\nkind: Secret\nmetadata: {name: s}\ndata: {a: YQ==, b: Yg==}\nstringData: {b: c, d: é}\n---\n",
    )
    assert found.pod == {"metadata": {"name": "a"}, "spec": {}}
    assert found.config_maps == ({"metadata": {"name": "m"}, "data": {"k": "v"}},)
    assert found.secrets == ({"metadata": {"name": "s"}, "data": {"a": "YQ==", "b": "Yw==", "d": "w6k="}},)


def test_a_list_is_read_as_its_items(tmp_path: Path) -> None:
    found = read(tmp_path, "{kind: List, items: [{kind: ConfigMap, metadata: {name: m}}, {kind: Pod, spec: {}}]}")
    assert found.pod == {"spec": {}}
    assert len(found.config_maps) == 1


def test_a_time_stays_a_text(tmp_path: Path) -> None:
    found = read(tmp_path, "kind: Pod\nmetadata: {creationTimestamp: 2026-07-14T09:46:00Z, labels: {day: 2026-07-14}}")
    assert found.pod["metadata"] == {"creationTimestamp": "2026-07-14T09:46:00Z", "labels": {"day": "2026-07-14"}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must contain exactly one Pod, not 0"),
        (f"{POD}---\n{POD}", "must contain exactly one Pod, not 2"),
        ("kind: Deployment", "contains an object of kind 'Deployment': must contain a Pod"),
        ("kind: pod", "contains an object of kind 'pod': must contain a Pod"),
        ("metadata: {}", "contains a document without a kind"),
        ("- a\n- b\n", "must contain Kubernetes documents"),
        ("kind: Pod\nspec: {a: [b\n", "line 3: this is not YAML"),
        ("kind: Pod\n\tspec: {}\n", "line 2: this is not YAML"),
        ("kind: Pod\nspec: \x07\n", "is not YAML"),
        (
            f"{POD}---\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{port: 80}}\n",
            "invalid value of 'port' in",
        ),
        (
            f"{POD}---\nkind: Secret\nmetadata: {{name: s}}\nstringData: [a]\n",
            "stringData of Secret 's' must be a block",
        ),
    ],
)
def test_anything_else_is_refused_in_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=r"pod\.yaml") as refused:
        read(tmp_path, text)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"absent\.yaml cannot be read: No such file or directory"):
        read_documents(tmp_path / "absent.yaml")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"\x7fELF\xff")
    with pytest.raises(InvalidRequest, match=r"is not UTF-8 text \(byte 0x.. in line 1\): save it as UTF-8$"):
        read_documents(tmp_path / "image")
    (tmp_path / "pod.yaml").write_bytes(POD.encode("utf-16"))  # as `>` of PowerShell 5 writes it
    with pytest.raises(InvalidRequest, match=r"is UTF-16, not UTF-8 text: save it as UTF-8$"):
        read_documents(tmp_path / "pod.yaml")
    (tmp_path / "pod.yaml").write_bytes(codecs.BOM_UTF8 + POD.encode())
    assert read_documents(tmp_path / "pod.yaml").pod["metadata"]
