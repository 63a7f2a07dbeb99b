"""sinfo's summary of partitions."""

from remote_slurm.domain.slurm.partitions import Partition, parse_partitions, partitions_command

# Slurm 24.11; the last two are of nodes that differ, as sinfo prints them one line each
PRINTED = """\
main*|up|0/64/0/64|1|infinite|gpu:4
short|up|12/52/0/64|1|10:00|(null)
night|down|0/0/64/64|2|1-00:00:00|gpu:a100:4(S:0-1)
mixed|up|4/4/0/8|1|infinite|(null)
mixed|up|0/16/0/16|2|infinite|gpu:t4:1
slurm_load_partitions: a word of warning
"""


def test_free_cpus_of_each_partition() -> None:
    main, short, night, mixed = parse_partitions(PRINTED)
    assert main == Partition("main", True, True, 64, 64, 1, "infinite", "gpu:4")  # noqa: FBT003 - a row of a table
    assert (short.is_default, short.free, short.cpus, short.time_limit, short.gres) == (False, 52, 64, "10:00", "")
    assert (night.is_up, night.free, night.nodes, night.gres) == (False, 0, 2, "gpu:a100:4(S:0-1)")
    assert (mixed.cpus, mixed.free, mixed.nodes, mixed.gres) == (24, 20, 3, "gpu:t4:1")


def test_what_is_no_summary_is_left_out() -> None:
    assert parse_partitions("") == []
    assert parse_partitions("sinfo: error\n|||||\na|up|1/2/3|1|x|y\n") == []


def test_the_command_asks_for_what_is_parsed() -> None:
    assert partitions_command("/opt/slurm/bin/sinfo") == "/opt/slurm/bin/sinfo --noheader '--format=%P|%a|%C|%D|%l|%G'"
