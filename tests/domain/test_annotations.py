"""Annotations as a pod's owner and the Virtual Kubelet write them, and what each one is read as."""

from dataclasses import replace
from typing import Any

import pytest

from remote_slurm.domain.plan.annotation_mounts import AnnotationMount
from remote_slurm.domain.plan.annotations import Annotations, flags_note, read_annotations
from remote_slurm.domain.runtimes.registry import RUNTIMES
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import pod, request

OURS, OLD, VK = "slurm-job.vk.io/", "slurm-job.knoc.io/", "interlink.eu/"


def read(**given: str) -> Annotations:
    """`mpi_flags="x"` is the annotation slurm-job.vk.io/mpi-flags."""
    return annotations({OURS + name.replace("_", "-"): value for name, value in given.items()})


def bind(source: str, target: str) -> AnnotationMount:
    return AnnotationMount("singularity-mounts", source, target, read_only=False)


def fstab(source: str, target: str) -> AnnotationMount:
    return AnnotationMount("enroot-mounts", source, target, read_only=True)


A_LIST = (bind("/a", "/b"), replace(bind("/c", "/d"), read_only=True), bind("/e", "/e"))


def annotations(given: dict[str, str]) -> Annotations:
    return read_annotations(request(pod(annotations=given)).pod, RUNTIMES.annotations)


def test_none_is_nothing() -> None:
    none: dict[str, Any] = {"singularity": (), "enroot": ()}
    assert annotations({}) == Annotations(mounts=none, options=none)


@pytest.mark.parametrize(
    ("name", "text", "attribute", "value"),
    [
        ("flavor", " gpu ", "flavor", "gpu"),
        ("pre-exec", "module load x", "pre_exec", "module load x\n"),
        ("job-workdir", "/scratch/project/", "workdir", "/scratch/project"),
        ("no-clean-workdir", "true", "keep_workdir", True),
        ("no-clean-workdir", "false", "keep_workdir", False),
        ("mpi-flags", "true", "mpi_flags", ()),
        ("mpi-flags", "--bind-to core -np '4'", "mpi_flags", ("--bind-to", "core", "-np", "4")),
        ("mpi-flags", "false", "mpi_flags", None),
        ("mpi-flags", " ", "mpi_flags", None),
        ("image-root", "/images/", "image_root", "/images/"),
        ("singularity-commands", "nice -n 5 ", "commands", "nice -n 5"),
        ("singularity-mounts", "--bind /a:/b", "mounts singularity", (bind("/a", "/b"),)),
        ("singularity-mounts", "-B /a:/b,/c:/d:ro --bind=/e", "mounts singularity", A_LIST),
        ("singularity-mounts", "/a:/b /c", "mounts singularity", (bind("/a", "/b"), bind("/c", "/c"))),
        ("enroot-mounts", "--mount /a:/b:none:x-create=auto,bind,ro", "mounts enroot", (fstab("/a", "/b"),)),
        ("enroot-mounts", "/a:/b:ro", "mounts enroot", (fstab("/a", "/b"),)),
        ("singularity-options", "--nv --home '/x y'", "options singularity", ("--nv", "--home", "/x y")),
    ],
)
@pytest.mark.parametrize("prefix", [OURS, OLD])
def test_what_each_one_is_read_as_under_either_prefix(
    prefix: str, name: str, text: str, attribute: str, value: Any
) -> None:
    found = annotations({prefix + name: text})
    attribute, _, runtime = attribute.partition(" ")
    given = getattr(found, attribute)
    assert (given[runtime] if runtime else given) == value
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
        ({VK + "pod-ip": "10.0.0.1; id"}, "interlink.eu/pod-ip '10.0.0.1; id': must be an IP address"),
        ({OURS + "job-workdir": "relative"}, "must be an absolute path"),
        ({OURS + "job-workdir": "/a/../b"}, "without '..'"),
        ({OURS + "mpi-flags": "-n 2 -- id"}, "invalid word '--' in"),
        ({OURS + "mpi-flags": "'"}, "mpi-flags has an unterminated quotation mark"),
        ({OURS + "singularity-options": '"'}, "singularity-options has an unterminated quotation mark"),
        ({OURS + "flags": "--array=1-3"}, "--array cannot be used here: one pod is one job"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_a_sentence(given: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        annotations(given)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {OURS + "flag": "x"},
            "unknown annotation slurm-job.vk.io/flag has no effect: did you mean slurm",
        ),
        ({OLD + "preexec": "x"}, "did you mean slurm-job.knoc.io/pre-exec?"),
        ({VK + "podip": "x"}, "did you mean interlink.eu/pod-ip?"),
        (
            {OURS + "job-workdir": "/scratch/$USER"},
            "job-workdir is not expanded by a shell: $ and ` in it have no effect",
        ),
    ],
)
def test_annotations_without_effect_get_a_warning(given: dict[str, str], words: str) -> None:
    (warning,) = annotations(given).warnings
    assert words in warning


@pytest.mark.parametrize(
    "given",
    [{VK + "disable-offload-containers": "x"}, {"example.org/flags": "x"}, {"flags": "x"}, {OURS + "flags": ""}],
)
def test_annotations_for_others_get_no_warning(given: dict[str, str]) -> None:
    assert annotations(given).warnings == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({OURS + "flags": "-p  short\n-t 5"}, "the pod's annotation slurm-job.vk.io/flags is -p short -t 5"),
        ({OLD + "flags": "-p short"}, "the pod's annotation slurm-job.knoc.io/flags is -p short"),
        ({}, "the annotation slurm-job.vk.io/flags sets sbatch options, and the pod has none"),
    ],
)
def test_a_refusal_names_the_fields_that_the_options_come_from(given: dict[str, str], said: str) -> None:
    assert flags_note(request(pod(annotations=given)).pod) == said


MPI_REFUSED = [
    '-np 1 /bin/sh -c "id >/x" :', "-np 1 : -np 1 id", ":", "id", "-x LD_PRELOAD=/x", "-x A", "-env A b", "-genv A b",
    "-genvall", "--app /x", "-configfile /x", "-f /x", "-hostfile /x", "--hostfile /x", "-machinefile /x", "-hosts a",
    "--host a", "-H a", "-wdir /x", "--wd /x", "-path /x", "--prefix /x", "-launcher ssh", "-launcher-exec /x",
    "-bootstrap-exec /x", "--mca plm_rsh_agent /x", "--mca btl /x", "-mca mca_base_component_path /x", "--mca btl",
    "--tune /x", "-am /x", "--map-by rankfile:file=x", "--map-by /x", "-np 1;id", "-np id", "-np", "--rankfile x",
    "-outfile-pattern x", "--output-filename x", "--debugger x", "--stdin all", "-iface /x", "--np=2", "-", "---np 1",
]  # fmt: skip


@pytest.mark.parametrize("text", MPI_REFUSED)
def test_mpi_flags_name_no_program_no_file_no_host_and_no_variable(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"annotation slurm-job.vk.io/mpi-flags"):
        read(mpi_flags=text)


@pytest.mark.parametrize(
    "text",
    [
        "-prepend-rank", "--bind-to core --map-by ppr:2:socket:pe=4 --report-bindings", "-ppn 4 -l",
        "--mca btl ^openib --mca pml ucx -mca btl_tcp_if_include ib0,10.0.0.1", "-N 2 --oversubscribe",
        "-np 4 -iface ib0",
    ],
)  # fmt: skip
def test_mpi_flags_that_say_how_many_ranks_run_where(text: str) -> None:
    assert read(mpi_flags=text).mpi_flags == tuple(text.split())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("singularity-mounts", "--bind /home/hpcuser:/mnt /srv/images/other.sif sh -c id"),
        ("singularity-mounts", "--bind /a --env LD_PRELOAD=/x"),
        ("singularity-mounts", "--bind"), ("singularity-mounts", "--writable /a"), ("singularity-mounts", "data:/a"),
        ("singularity-mounts", "/a:b"), ("singularity-mounts", "/a:/b:rw,image-src=/x"),
        ("singularity-mounts", "--mount type=bind,src=/a,dst=/b"), ("singularity-mounts", "~/x:/b"),
        ("enroot-mounts", "tmpfs:/x:tmpfs:size=1G"), ("enroot-mounts", "/a:/b:ext4"), ("enroot-mounts", "--rc /x"),
    ],
)  # fmt: skip
def test_mounts_hold_nothing_but_mounts(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"annotation slurm-job.vk.io/{name}"):
        annotations({OURS + name: text})


ASKED = "the pod's resources request 500 CPUs and 1024 MiB of memory"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ASKED),
        (
            {OURS + "flags": "-t 5"},
            ASKED + "; the pod's annotation slurm-job.vk.io/flags is -t 5",
        ),
    ],
)
def test_who_reads_that_slurm_refused_500_cpus_learns_who_asked_for_them(given: dict[str, str], said: str) -> None:
    made = pod(annotations=given)
    made["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "500", "memory": "1Gi"}}
    assert flags_note(request(made).pod) == said
