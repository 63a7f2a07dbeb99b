"""Records as runner.sh writes them: whole ones are believed, everything else is left out."""

import pytest

from remote_slurm.domain.job_usage import JobUsage, Source
from remote_slurm.domain.records import ContainerPhase, LastRun, Reason, Record, parse_records

LINE = "v1 default-1 main terminated 1795478290 1795478299 3 0 record=2 restarts=0 reason=Error it ran too long\t"
RECORD = Record(
    "default-1", "main", ContainerPhase.TERMINATED, 1795478290, 1795478299, 3, 0, "it ran too long", number=2,
    reason="Error",
)  # fmt: skip
OVER = ContainerPhase.TERMINATED


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (LINE, RECORD),
        ("v1 ns-1 c running 100 0 0 0", Record("ns-1", "c", ContainerPhase.RUNNING, 100, 0, 0, 0)),
        ("v1 ns-1 c terminated 1 2 0 0", Record("ns-1", "c", OVER, 1, 2, 0, 0, reason="Completed")),
        ("v1 ns-1 c terminated 1 2 255 0 ", Record("ns-1", "c", OVER, 1, 2, 255, 0, reason="Error")),
        ("v1 ns-1 c terminated 1 2 1 0 a  b ", Record("ns-1", "c", OVER, 1, 2, 1, 0, "a  b", reason="Error")),
        # a word that only a later version knows
        ("v1 ns-1 c waiting 9 0 0 0 record=1 restarts=0 reason=InThePost since noon\t",
         Record("ns-1", "c", ContainerPhase.WAITING, 9, 0, 0, 0, "since noon", number=1, reason="InThePost")),
        ("v1 ns-1 c terminated 0 9 1 0 record=1 restarts=0 reason=JobStopped last=1,2,3,0 not started: x\\=y\told",
         Record("ns-1", "c", OVER, 0, 9, 1, 0, "not started: x=y", number=1, reason="JobStopped",
                last=LastRun(1, 2, 3, 0, "old"))),
        # what the job had used
        ("v1 ns-1 c terminated 1 2 0 0 record=1 restarts=0 reason=Completed bye\t\t12034,61,4,0,3221225472,-,cgroup",
         Record("ns-1", "c", OVER, 1, 2, 0, 0, "bye", number=1, reason="Completed",
                usage=JobUsage(Source.CGROUP, 12.034, 61, 4, 0, 3 << 30))),
        ("v1 ns-1 c terminated 1 2 0 0 record=1 restarts=0 reason=Completed last=1,2,3,0 \told\t-,61,-,-,-,-,cgroup",
         Record("ns-1", "c", OVER, 1, 2, 0, 0, number=1, reason="Completed", last=LastRun(1, 2, 3, 0, "old"),
                usage=JobUsage(wall_seconds=61))),
    ],
)  # fmt: skip
def test_a_record(line: str, record: Record) -> None:
    assert parse_records(f"{line}\n") == [record]


@pytest.mark.parametrize(
    "words",
    ["1,2,3,4,5,6,cgrou", "1,2,3,4,5,6", "1,2,3,4,5,6,sacct", "-1,2,3,4,5,6,times",
     "1e9,2,3,4,5,6,times", "", "used much", "1,2,3,4,5,1000000000000000000,cgroup"],
)  # fmt: skip
def test_a_usage_that_is_cut_off_or_odd_is_none(words: str) -> None:
    assert parse_records(f"{LINE}\t{words}\n") == [RECORD]


@pytest.mark.parametrize("cut", range(len(LINE) + 1))
def test_a_record_that_is_cut_off_anywhere_is_none(cut: int) -> None:
    assert parse_records(LINE[:cut]) == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Welcome to the cluster",
        "v2 ns-1 c running 100 0 0 0",
        "v1 ns-1 c exploded 100 0 0 0",
        "v1 ns-1 c RUNNING 100 0 0 0",
        "v1 ns-1 c running x 0 0 0",
        "v1 ns-1 c running 100 0 0",
        "v1 ns-1 c running -1 0 0 0",
        "v1 ns-1 c running 1_0 0 0 0",
        "v1 ns-1 c running \u0661 0 0 0",
        "v1 ns-1 c running 99999999999999999 0 0 0",
        "v1 ns-1 c terminated 1 2 1000 0",
        "v1  c terminated 1 2 1 0",
        " v1 ns-1 c running 100 0 0 0",
        "v1 ns-1 c running 100 0 0 0v1 ns-1 d running 100 0 0 0",
    ],
)
def test_what_is_no_record_does_not_stop_the_others(line: str) -> None:
    assert parse_records(f"{line}\n{LINE}\n{line}\n") == [RECORD]


STOPPED = "the job was told to stop"


@pytest.mark.parametrize(
    ("reported", "reason", "has_run"),
    [
        ("1 9 0 0 record=2 restarts=0 \t", Reason.COMPLETED, True),
        ("1 9 3 0 record=2 restarts=0 why\t", Reason.ERROR, True),
        (f"1 9 143 15 record=2 restarts=0 {STOPPED}\t", Reason.JOB_STOPPED, True),
        (f"1 9 143 15 record=2 restarts=0 bye; {STOPPED}\t", Reason.JOB_STOPPED, True),
        (f"1 9 143 15 run=12 {STOPPED}", Reason.JOB_STOPPED, True),
        (f"9 9 1 0 record=1 restarts=0 not started: {STOPPED}\t", Reason.JOB_STOPPED, False),
        ("9 9 1 0 record=1 restarts=0 not started: hostPath /x is not there\t", Reason.NOT_STARTED, False),
        ("1 9 3 0 record=2 restarts=0 not started: said the container itself\t", Reason.ERROR, True),
        ("1 9 137 9 record=2 restarts=0 reason=Unhealthy its liveness probe failed\t", "Unhealthy", True),
        ("1 9 137 9 record=2 restarts=0 anything\t", "", True),
        ("1 9 137 9 somebody killed it on purpose", Reason.ERROR, True),
        (f"1 9 137 9 {STOPPED}", "", True),
        ("1 9 137 9", "", True),
    ],
)
def test_records_of_earlier_versions_are_read_by_their_message(reported: str, reason: str, *, has_run: bool) -> None:
    (record,) = parse_records(f"v1 ns-1 c terminated {reported}\n")
    assert (record.reason, record.has_run, record.began) == (reason, has_run, 1 if reported[0] == "1" else 9)
