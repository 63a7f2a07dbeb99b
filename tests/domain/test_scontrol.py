"""The partitions and settings that scontrol shows."""

from remote_slurm.domain.slurm.scontrol import DefaultMemory, SlurmSettings, parse_settings

MAIN = (
    "PartitionName=main AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A "
    "DefaultTime=NONE DisableRootJobs=NO GraceTime=0 Hidden=NO MaxNodes=UNLIMITED MaxTime=1-00:00:00 MinNodes=0 "
    "Nodes=n[1-2] State=UP TotalCPUs=8 TotalNodes=2 DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED "
    "TRES=cpu=8,mem=16G,node=2,billing=8,gres/gpu=4,gres/gpu:a100=4"
)
GPU = (
    "PartitionName=gpu AllowGroups=ALL AllowAccounts=physics,chem AllowQos=ALL Default=NO State=DOWN DefMemPerCPU=4096 "
    "MaxTime=UNLIMITED"
)


def settings(*lines: str, partitions: tuple[str, ...] = (MAIN, GPU)) -> SlurmSettings:
    return parse_settings(partitions, lines)


def test_partitions_with_their_limits() -> None:
    main, gpu = settings().partitions
    assert (main.name, main.is_default, main.is_up, main.max_time, main.cpus, main.gpus) == (
        "main",
        True,
        True,
        "1-00:00:00",
        8,
        4,
    )
    assert main.is_unrestricted
    assert (gpu.is_default, gpu.is_up, gpu.allowed) == (False, False, {"AllowAccounts": "physics,chem"})


def test_default_memory_of_the_partition_precedes_the_clusters() -> None:
    found = settings("DefMemPerNode           = 1000")
    assert found.default_memory(found.partition("gpu")) == DefaultMemory(4096, "per CPU")
    assert found.default_memory(found.default_partition) == DefaultMemory(1000, "per node")


def test_unlimited_is_no_default() -> None:
    found = settings("DefMemPerNode           = UNLIMITED")
    assert found.default_memory(found.default_partition) is None


def test_whether_memory_is_allocated_and_enforced() -> None:
    found = settings("SelectTypeParameters    = CR_Core_Memory", "ConstrainRAMSpace       = yes", "MaxArraySize = 1001")
    assert (found.allocates_memory, found.enforces_memory, found.array_size) == (True, True, 1000)
    assert settings("SelectTypeParameters = CR_CPU").allocates_memory is False
    assert settings().allocates_memory is None
    assert not settings().enforces_memory


def test_lines_of_other_kinds_are_left_out() -> None:
    assert (
        settings("", "Cgroup Support Configuration:", partitions=("No partitions in the system", "")) == SlurmSettings()
    )
