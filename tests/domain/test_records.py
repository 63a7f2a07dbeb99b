"""Records as runner.sh writes them: whole ones are believed, everything else is left out."""

import pytest

from remote_slurm.domain.records import ContainerPhase, Record, parse_records

LINE = "v1 default-1 main terminated 1795478290 1795478299 137 9 killed: it ran too long"
RECORD = Record(
    "default-1", "main", ContainerPhase.TERMINATED, 1795478290, 1795478299, 137, 9, "killed: it ran too long"
)


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (LINE, RECORD),
        ("v1 ns-1 c running 100 0 0 0", Record("ns-1", "c", ContainerPhase.RUNNING, 100, 0, 0, 0)),
        ("v1 ns-1 c terminated 1 2 0 0", Record("ns-1", "c", ContainerPhase.TERMINATED, 1, 2, 0, 0)),
        ("v1 ns-1 c terminated 1 2 255 0 ", Record("ns-1", "c", ContainerPhase.TERMINATED, 1, 2, 255, 0)),
        ("v1 ns-1 c terminated 1 2 1 0 a  b ", Record("ns-1", "c", ContainerPhase.TERMINATED, 1, 2, 1, 0, "a  b")),
    ],
)
def test_a_record(line: str, record: Record) -> None:
    assert parse_records(f"{line}\n") == [record]


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
