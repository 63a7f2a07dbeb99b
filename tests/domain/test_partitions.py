"""sinfo's summary of partitions."""

import pytest

from remote_slurm.domain.slurm.node_states import obstacle
from remote_slurm.domain.slurm.partitions import Partition, parse_partitions, partitions_command

# Slurm 24.11; the last lines are of nodes that differ, as sinfo prints them one line each
PRINTED = """\
main*|up|0/64/0/64|1|idle|infinite|gpu:4
short|up|12/52/0/64|1|mixed|10:00|(null)
night|down|0/0/64/64|2|idle|1-00:00:00|gpu:a100:4(S:0-1)
mixed|up|4/4/0/8|1|mixed|infinite|(null)
mixed|up|0/16/0/16|2|idle|infinite|gpu:t4:1
mixed|up|0/0/32/32|2|drained|infinite|(null)
mixed|up|8/0/8/16|1|draining*|infinite|(null)
mixed|up|0/16/0/16|1|reserved|infinite|(null)
mixed|up|0/0/16/16|1|drained|infinite|gpu:t4:1
slurm_load_partitions: a word of warning
"""


def test_free_cpus_of_each_partition() -> None:
    main, short, night, mixed = parse_partitions(PRINTED)
    assert main == Partition("main", True, True, 64, 64, 1, "infinite", "gpu:4")  # noqa: FBT003 - a row of a table
    assert (short.is_default, short.free, short.cpus, short.time_limit, short.gres) == (False, 52, 64, "10:00", "")
    assert (night.is_up, night.free, night.nodes, night.gres) == (False, 0, 2, "gpu:a100:4(S:0-1)")
    assert (mixed.cpus, mixed.free, mixed.nodes, mixed.gres) == (24, 20, 3, "gpu:t4:1")


def test_nodes_on_which_slurm_starts_nothing_are_counted_apart() -> None:
    assert parse_partitions(PRINTED)[-1].unusable == (("drained", 3), ("draining", 1), ("reserved", 1))


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("idle", ""),
        ("idle~", ""),
        ("mixed#", ""),
        ("COMPLETING", ""),
        ("planned", ""),
        ("drained*", "drained"),
        ("down", "down"),
        ("idle*", "not responding"),
        ("allocated$", "maint"),
        ("maint", "maint"),
        ("inval", "inval"),
        ("a word of a later Slurm", "a word of a later slurm"),
    ],
)
def test_why_slurm_starts_no_job_on_a_node(state: str, why: str) -> None:
    assert obstacle(state) == why


def test_what_is_no_summary_is_left_out() -> None:
    assert parse_partitions("") == []
    assert parse_partitions("sinfo: error\n|||||\na|up|1/2/3|1|idle|x|y\n") == []


def test_the_command_asks_for_what_is_parsed() -> None:
    assert (
        partitions_command("/opt/slurm/bin/sinfo") == "/opt/slurm/bin/sinfo --noheader '--format=%P|%a|%C|%D|%T|%l|%G'"
    )
