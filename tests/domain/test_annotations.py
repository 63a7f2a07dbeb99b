"""Annotations as a pod's owner and the Virtual Kubelet write them, and what each one is read as."""

from typing import Any

import pytest
from podspec import pod, request

from remote_slurm.domain.annotations import Annotations, flags_note, read_annotations
from remote_slurm.errors import Rejected

OURS, OLD, VK = "slurm-job.vk.io/", "slurm-job.knoc.io/", "interlink.eu/"


def read(**given: str) -> Annotations:
    """`mpi_flags="x"` is the annotation slurm-job.vk.io/mpi-flags."""
    return annotations({OURS + name.replace("_", "-"): value for name, value in given.items()})


def annotations(given: dict[str, str]) -> Annotations:
    return read_annotations(request(pod(annotations=given)).pod)


def test_none_is_nothing() -> None:
    assert annotations({}) == Annotations()


@pytest.mark.parametrize(
    ("name", "text", "attribute", "value"),
    [
        ("flavor", " gpu ", "flavor", "gpu"),
        ("pre-exec", "module load x", "pre_exec", "module load x\n"),
        ("job-workdir", "/scratch/project/", "workdir", "/scratch/project"),
        ("no-clean-workdir", "true", "keep_workdir", True),
        ("no-clean-workdir", "false", "keep_workdir", False),
        ("mpi-flags", "true", "mpi_flags", ()),
        ("mpi-flags", "--bind-to core -x 'A=b c'", "mpi_flags", ("--bind-to", "core", "-x", "A=b c")),
        ("mpi-flags", "false", "mpi_flags", None),
        ("mpi-flags", " ", "mpi_flags", None),
        ("image-root", "/images/", "image_root", "/images/"),
        ("singularity-commands", "nice -n 5 ", "commands", "nice -n 5"),
        ("singularity-mounts", "--bind /a:/b", "mounts", ("--bind", "/a:/b")),
        ("singularity-mounts", "/a:/b /c", "mounts", ("--bind", "/a:/b", "--bind", "/c")),
        ("singularity-options", "--nv --home '/x y'", "options", ("--nv", "--home", "/x y")),
    ],
)
@pytest.mark.parametrize("prefix", [OURS, OLD])
def test_what_each_one_is_read_as_under_either_prefix(
    prefix: str, name: str, text: str, attribute: str, value: Any
) -> None:
    found = annotations({prefix + name: text})
    assert getattr(found, attribute) == value
    assert found.warnings == ()


def test_the_newer_prefix_wins() -> None:
    assert annotations({OLD + "flavor": "old", OURS + "flavor": "new"}).flavor == "new"


def test_flags_are_read_as_sbatchs() -> None:
    assert [flag.line() for flag in read(flags="-p short -t 30").flags] == [
        "#SBATCH --partition=short",
        "#SBATCH --time=30",
    ]


def test_a_tunnels_commands_come_before_the_pods_own_shell() -> None:
    found = annotations({VK + "wstunnel-client-commands": "./wstunnel client &", OURS + "pre-exec": "own"})
    assert found.pre_exec == "./wstunnel client &\nown\n"
    assert not found.mesh


def test_a_mesh_script_is_known_by_its_first_line() -> None:
    script = "cat <<'EOFMESH' > $TMPDIR/mesh.sh\n#!/bin/bash\nEOFMESH\n"
    found = read(pre_exec=script + "module load x")
    assert found.mesh
    assert found.pre_exec == script + "module load x\n"
    assert not read(pre_exec="cat <<'EOF' > $TMPDIR/mesh.sh\nEOF\n").mesh


@pytest.mark.parametrize("address", ["10.7.0.2", "fd00::1"])
def test_the_pods_address(address: str) -> None:
    assert annotations({VK + "pod-ip": address}).pod_ip == address


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({VK + "pod-ip": "10.0.0.1; id"}, "interlink.eu/pod-ip is '10.0.0.1; id', which is not an address"),
        ({OURS + "job-workdir": "relative"}, "it must be an absolute path"),
        ({OURS + "job-workdir": "/a/../b"}, "without '..'"),
        ({OURS + "mpi-flags": "-n 2 -- id"}, "must be flags of mpiexec only, without '--'"),
        ({OURS + "mpi-flags": "'"}, "mpi-flags has an unfinished quotation"),
        ({OURS + "singularity-options": '"'}, "singularity-options has an unfinished quotation"),
        ({OURS + "flags": "--array=1-3"}, "--array cannot be used here: one pod is one job"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_a_sentence(given: dict[str, str], words: str) -> None:
    with pytest.raises(Rejected) as caught:
        annotations(given)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {OURS + "flag": "x"},
            "annotation slurm-job.vk.io/flag is not known and has no effect: the nearest one is slurm",
        ),
        ({OLD + "preexec": "x"}, "the nearest one is slurm-job.knoc.io/pre-exec"),
        ({VK + "podip": "x"}, "the nearest one is interlink.eu/pod-ip"),
        ({OURS + "job-workdir": "/scratch/$USER"}, "job-workdir is no shell: $ and ` in it stay as they are"),
    ],
)
def test_what_has_no_effect_is_told(given: dict[str, str], words: str) -> None:
    (warning,) = annotations(given).warnings
    assert words in warning


@pytest.mark.parametrize(
    "given",
    [{VK + "disable-offload-containers": "x"}, {"example.org/flags": "x"}, {"flags": "x"}, {OURS + "flags": ""}],
)
def test_what_is_not_meant_for_us_is_not_told(given: dict[str, str]) -> None:
    assert annotations(given).warnings == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({OURS + "flags": "-p  short\n-t 5"}, "the pod's annotation slurm-job.vk.io/flags says -p short -t 5"),
        ({OLD + "flags": "-p short"}, "the pod's annotation slurm-job.knoc.io/flags says -p short"),
        ({}, "the annotation slurm-job.vk.io/flags of a pod holds options of sbatch, and this one has none"),
    ],
)
def test_who_reads_that_slurm_refused_a_pod_learns_where_its_options_stand(given: dict[str, str], said: str) -> None:
    assert flags_note(request(pod(annotations=given)).pod) == said
