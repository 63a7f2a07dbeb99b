"""What a pod has used of what it reserved: only what was measured, in sentences and as JSON."""

from typing import Any

import pytest

from remote_slurm.domain.job_usage import JobUsage, Source
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.pod_usage import PodUsage, pod_usage
from remote_slurm.domain.status.view import PodView

GIB = 1 << 30


def ended(name: str, usage: JobUsage | None) -> Record:
    return Record("ns-1", name, ContainerPhase.TERMINATED, 1, 2, 0, 0, number=1, usage=usage)


def view(*usages: JobUsage | None, job: Job | None = None, **fields: Any) -> PodView:
    records = {f"c{number}": ended(f"c{number}", usage) for number, usage in enumerate(usages)}
    return PodView(job, records, final=True, **fields)


CGROUP = [
    JobUsage(Source.CGROUP, 10.0, 50, 16, 0, GIB, 64 * GIB),
    JobUsage(Source.CGROUP, 25.0, 99, 16, 0, 3 * GIB, 64 * GIB),
]
TIMES = [JobUsage(Source.TIMES, 10.0, 50, 16), JobUsage(Source.TIMES, 25.0, 99, 16), None]


def test_a_cgroup_counts_the_job_and_times_each_container() -> None:
    by_cgroup, by_times = pod_usage(view(*CGROUP)), pod_usage(view(*TIMES))
    assert (by_cgroup.cpu_seconds, by_cgroup.memory_peak, by_cgroup.wall_seconds) == (25.0, 3 * GIB, 99)
    assert (by_times.cpu_seconds, by_times.memory_peak, by_times.wall_seconds) == (35.0, None, 99)
    assert [(each.source, each.memory_source) for each in (by_cgroup, by_times)] == [
        ("cgroup", "cgroup"),
        ("times", ""),
    ]


def test_the_accounting_comes_first_and_the_job_has_what_it_lacks() -> None:
    sacct = JobUsage(Source.SACCT, 40.0, 120, 8, memory_limit=32 * GIB)
    job = Job("7", JobState.COMPLETED, start=160, submitted=100, end=280, usage=sacct)
    found = pod_usage(view(*CGROUP, job=job))
    assert found == PodUsage(40.0, 8, 120, 3 * GIB, 32 * GIB, 60, 0, "sacct", "cgroup")


def test_slurm_has_the_times_of_a_job_that_measured_nothing() -> None:
    job = Job("7", JobState.TIMEOUT, start=160, submitted=100, end=460)
    assert pod_usage(view(None, job=job)) == PodUsage(wall_seconds=300, waited_seconds=60)


def test_a_usage_that_nothing_measured_is_no_object() -> None:
    assert pod_usage(PodView()).json() is None
    assert pod_usage(view(None, job=Job("7", JobState.PENDING))).json() is None


def test_the_comment_of_a_job_reports_for_all_containers() -> None:
    assert pod_usage(view(None, reported_usage=CGROUP[0])).cpu_seconds == 10.0


def test_the_json_has_every_field() -> None:
    used = PodUsage(6912.0, 16, 3600, int(3.1 * GIB), 64 * GIB, 240, 2, "cgroup", "cgroup")
    assert used.json() == {
        "cpuSeconds": 6912.0,
        "cpusReserved": 16,
        "wallSeconds": 3600,
        "memoryPeakBytes": int(3.1 * GIB),
        "memoryLimitBytes": 64 * GIB,
        "waitedSeconds": 240,
        "gpus": 2,
        "source": "cgroup",
        "memorySource": "cgroup",
        "text": "used 12% of 16 CPUs and 3.1 of 64 GiB; 2 GPUs reserved; waited 4 min, ran 1 h",
        "hint": "the pod reserved 16 CPUs and used 1.9 on average: request fewer; "
        "the pod reserved 64 GiB of memory and used 3.1 GiB at most: request less",
    }


@pytest.mark.parametrize(
    ("usage", "sentence"),
    [
        (PodUsage(0.9, 1, 1), "used 90% of 1 CPU; ran 1 s"),
        (PodUsage(0.001, 4, 100), "used under 1% of 4 CPUs; ran 1 min"),
        (PodUsage(0.0, 4, 100), "used 0% of 4 CPUs; ran 1 min"),
        (PodUsage(7.2), "used 7 s of CPU time"),
        (PodUsage(memory_peak=300 << 20), "used 300 MiB"),
        (PodUsage(memory_peak=300 << 20, memory_limit=2 * GIB), "used 300 MiB of 2 GiB"),
        (PodUsage(memory_peak=999 << 20, memory_limit=1000 << 20), "used 999 MiB of 1 GiB"),
        (PodUsage(gpus=1, waited_seconds=0), "1 GPU reserved; waited 0 s"),
        (PodUsage(waited_seconds=8 * 3600, wall_seconds=90061), "waited 8 h, ran 1 d 1 h"),
        (PodUsage(wall_seconds=259200), "ran 3 d"),
        (PodUsage(), ""),
    ],
)
def test_a_usage_in_a_sentence(usage: PodUsage, sentence: str) -> None:
    assert usage.sentence == sentence


@pytest.mark.parametrize(
    "usage",
    [
        PodUsage(99.0, 1, 3600, 1 << 20, 512 << 20),  # one CPU, and little memory: nothing would become free
        PodUsage(0.1, 16, 10, 1 << 20, 64 * GIB),  # it has hardly begun
        PodUsage(3600.0, 4, 3600, 13 * GIB, 64 * GIB),  # a fourth, and a fifth
        PodUsage(None, 16, 3600, None, 64 * GIB),  # not measured
    ],
)
def test_no_hint_without_a_reason(usage: PodUsage) -> None:
    assert usage.hint == ""


def test_a_pod_that_used_hardly_any_cpu_is_not_said_to_use_none() -> None:
    idle = PodUsage(cpu_seconds=0.6, cpus=16, wall_seconds=75)
    assert idle.hint == "the pod reserved 16 CPUs and used under 0.1 on average: request fewer"


@pytest.mark.parametrize("names_memory", [True, False])
def test_a_pod_that_ran_out_of_memory_is_told_to_name_it(*, names_memory: bool) -> None:
    out = view(None, job=Job("7", JobState.OUT_OF_MEMORY), names_memory=names_memory)
    reported = (
        "" if names_memory else "the pod was killed for memory that it does not name: set resources.limits.memory"
    )
    assert pod_usage(out).hint == reported
