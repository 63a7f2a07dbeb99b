"""`remote-slurm top`: what a frame has; test_cli_screens.py has the keys."""

import json
from typing import Any

import pytest

from remote_slurm.cli.top_view import Chosen, Frame, Size, hint
from tests.cli.program import PodFile, ProgramAt
from tests.sites import Site

SITE = {
    "address": "me@login:22/jobs",
    "reachable": True,
    "error": "",
    "host": "login",
    "retryInSeconds": 0,
    "roundTripSeconds": 0.0123,
    "lastPollSeconds": 4,
    "pollIntervalSeconds": 10,
    "sessionsInUse": 1,
    "sessionsLimit": 8,
}
MAIN = {"name": "main", "default": True, "up": True, "cpus": 64, "free": 60}
NIGHT = {"name": "night", "default": False, "up": False, "cpus": 64, "free": 0}
TROUBLE = {
    "time": 0,
    "level": "WARNING",
    "message": "pod failed",
    "reason": "c ended with exit code 3",
    "pod": "ns/b",
    "job": "8",
    "exit_code": 3,
}


def row(number: int, phase: str = "running", **keys: Any) -> dict[str, Any]:
    base = {"pod": f"ns-{number}", "name": f"ns/pod-{number}", "jobId": str(number), "state": phase.upper()}
    return {**base, "phase": phase, "reason": "", "ageSeconds": 3700, "containers": [], **keys}


def state(*pods: dict[str, Any], **keys: Any) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for each in pods:
        counts[each["phase"]] = counts.get(each["phase"], 0) + 1
    found = {"site": SITE, "partitions": [MAIN, NIGHT], "counts": counts, "pods": list(pods), "troubles": [TROUBLE]}
    return found | keys


def drawn(reported: dict[str, Any], size: Size | None = None, chosen: Chosen | None = None) -> str:
    return "\n".join(line.text for line in Frame(size or Size()).lines(reported, chosen))


def test_a_frame() -> None:
    text = drawn(state(row(7, node="cn042"), row(8, "waiting", reason="Priority: jobs of higher priority come first")))
    assert text.startswith("remote-slurm  me@login:22/jobs\nreachable, by login\n")
    assert "round trip 12 ms   last poll 4s ago   waiting 1   running 1   sessions 1 of 8" in text
    assert "partitions: main* 60 of 64 CPUs free,  night down" in text
    assert "  RUNNING  ns/pod-7  7    cn042  1h" in text
    assert "  WAITING  ns/pod-8  8    -      1h   Priority: jobs of higher priority come first" in text
    assert "pod failed: c ended with exit code 3 (ns/b, job 8, exit code 3)" in text


@pytest.mark.parametrize("size", [Size(), Size(lines=8)])
def test_a_slurm_that_fails_over_a_good_connection_is_not_unreachable(size: Size) -> None:
    text = drawn(state(site=SITE | {"reachable": False, "error": "squeue failed", "connected": True}), size)
    assert "connected, but the poll fails: squeue failed" in text
    assert "not reachable" not in text


def test_free_cpus_from_before_an_outage_are_not_shown_as_current() -> None:
    text = drawn(state(site=SITE | {"reachable": False, "error": "no route"}))
    assert "partitions before the failure: main* 60 of 64 CPUs free" in text


def test_a_site_that_cannot_be_reached() -> None:
    gone = SITE | {"reachable": False, "error": "no route", "roundTripSeconds": None, "lastPollSeconds": None}
    text = drawn(state(site=gone, partitions=None, troubles=[]))
    assert "not reachable: no route" in text
    assert "round trip -   last poll never" in text
    assert "partitions: not known yet" in text
    assert "there are no pods" in text
    assert "what failed lately" not in text


def test_each_account_and_whether_it_is_reachable() -> None:
    accounts = [SITE | {"name": "anna"}, SITE | {"name": "ben", "reachable": False, "error": "the key is refused"}]
    text = drawn(state(row(7), accounts=accounts))
    assert "  anna: reachable\n  ben: the key is refused\n" in text


def test_a_frame_fits_its_terminal() -> None:
    reported = state(*(row(number, reason="x" * 500) for number in range(1, 200)))
    for size in (Size(80, 24), Size(40, 12), Size(200, 60)):
        lines = drawn(reported, size).split("\n")
        assert len(lines) <= size.lines
        assert max(map(len, lines)) <= size.columns


def test_the_pod_that_is_chosen_is_always_shown() -> None:
    reported = state(*(row(number) for number in range(1, 200)))
    for number in (1, 100, 199):
        assert f"> RUNNING  ns/pod-{number} " in drawn(reported, Size(80, 24), Chosen(f"ns-{number}"))


def test_a_log_is_shown_by_its_end() -> None:
    text = drawn(state(row(7)), Size(80, 24), Chosen("ns-7", "main", "\n".join(f"line {n}" for n in range(100))))
    assert "log of main" in text
    assert text.endswith("line 99")
    assert "what failed lately" not in text


def test_nothing_from_the_site_commands_the_terminal() -> None:
    evil = "\033[2J\r\x9b31m\x07"
    reported = state(row(7, reason=evil, name=evil), troubles=[TROUBLE | {"message": evil, "pod": evil}])
    text = drawn(reported, chosen=Chosen("ns-7", evil, evil))
    assert all(sign.isprintable() or sign == "\n" for sign in text)


def test_one_frame_where_there_is_no_terminal(program_at: ProgramAt, site: Site, pod_file: PodFile) -> None:
    program = program_at(site)
    assert program("run", "--keep", pod_file("exit 3", name="broken")).returncode == 3
    done = program("top")
    assert done.returncode == 0
    assert "\033" not in done.stdout
    assert f"remote-slurm  {site.user}@{site.host}" in done.stdout
    assert "reachable, by " in done.stdout
    assert "CPUs free" in done.stdout
    assert "default/broken" in done.stdout
    reported = json.loads(program("top", "--output", "json").stdout)
    assert [(each["name"], each["phase"]) for each in reported["pods"]] == [("default/broken", "failed")]
    assert {each["name"] for each in reported["partitions"]} == {"main", "short"}
    assert program("delete", "default/broken").returncode == 0


def test_a_small_terminal_has_the_pods_first() -> None:
    reported = state(*(row(number, name=f"team/{'x' * 60}-{number:03d}") for number in range(300)))
    lines = drawn(reported, Size(30, 7)).split("\n")
    assert lines[0] == "runn 300"
    assert len(lines) == 7
    assert all(len(line) <= 30 for line in lines)
    assert lines[2] == "  RUNNING  team/xxxx…xxxxx-000"


def test_a_filter_counts_what_it_finds() -> None:
    reported = state(*(row(number, node=f"cn{number:03d}") for number in range(300)))
    text = drawn(reported, Size(80, 24), Chosen(find="CN01 pod-17"))
    assert [line.split()[1] for line in text.split("\n") if "ns/pod" in line] == ["ns/pod-17"]
    assert hint(Chosen("ns-17", find="cn01 pod-17"), reported, 80).startswith("1/1 of 300 with 'cn01 pod-17'")
    assert "no pod has 'zzz'" in drawn(reported, Size(80, 24), Chosen(find="zzz"))


def test_the_end_of_a_log_is_wrapped_and_scrolls() -> None:
    containers = [{"name": "main", "state": "running"}, {"name": "side", "state": "running"}]
    log = "\n".join(f"{number} " + "y" * 40 for number in range(20))
    reported = state(row(7, containers=containers))
    text = drawn(reported, Size(30, 8), Chosen("ns-7", "side", log))
    assert "log of side (2 of 2)" in text
    assert "19 " in text
    above = drawn(reported, Size(30, 8), Chosen("ns-7", "side", log, scrolled=10))
    assert "19 " not in above
