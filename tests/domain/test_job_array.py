"""The script of a job array, and which pods can be its tasks."""

import subprocess
from pathlib import Path

import pytest

from remote_slurm.domain.plan.job_array import ArrayTask, array_task, job_arrays, parse_table
from remote_slurm.domain.slurm.flags import Flag
from tests.domain.podspec import container, plan, pod

FLAGS = (Flag("no-requeue"), Flag("mem", "100M"), Flag("comment", 'it\'s "so"'))


def task(name: str, *flags: Flag, throttle: str = "") -> ArrayTask:
    found = array_task((Flag("job-name", name), *FLAGS, *flags), name, throttle)
    assert found is not None
    return found


def arrays(*tasks: ArrayTask, most: int = 250) -> list[tuple[str, ...]]:
    numbered = [(f"ns-{number}", each) for number, each in enumerate(tasks)]
    return [each.pods for each in job_arrays(numbered, most, "/bin/bash", "jobs")]


def test_pods_with_the_same_options_but_the_name_are_one_array() -> None:
    assert arrays(task("a-1"), task("a-2"), task("b")) == [("ns-0", "ns-1", "ns-2")]


@pytest.mark.parametrize(
    "other",
    [task("a", Flag("time", "5")), task("a", throttle="2")],
)
def test_other_options_are_another_array(other: ArrayTask) -> None:
    assert arrays(task("a"), other, task("b"), other) == [("ns-0", "ns-2"), ("ns-1", "ns-3")]
    assert arrays(task("a"), other) == []


def test_a_large_group_is_several_arrays_and_no_array_has_one_task() -> None:
    tasks = [task("a")] * 5
    assert arrays(*tasks, most=2) == [("ns-0", "ns-1"), ("ns-2", "ns-3")]
    assert arrays(*tasks, most=1) == []


@pytest.mark.parametrize("name", ["dependency", "hold", "mail-type", "chdir", "open-mode", "bb"])
def test_options_that_mean_something_else_for_an_array(name: str) -> None:
    assert array_task((Flag("job-name", "a"), Flag(name, "x")), "a", "") is None


@pytest.mark.parametrize(
    ("names", "stem"),
    [
        (("train-x7-abcde", "train-x7-fghij"), "train-x7"),
        (("a", "b"), "pods"),
        (("same", "same"), "same"),
        (("train-1", "train-12"), "train-1"),
    ],
)
def test_the_name_of_the_array_is_what_the_names_of_its_pods_begin_with(names: tuple[str, str], stem: str) -> None:
    (array,) = job_arrays([(f"ns-{name}", task(name)) for name in names], 9, "/bin/bash", "jobs")
    assert [line for line in array.head.splitlines() if "job-name" in line] == [f"#SBATCH --job-name={stem}"]


def test_a_name_that_pods_ask_for_is_an_option() -> None:
    named = [
        array_task((Flag("job-name", name), *FLAGS), pod, "") for pod, name in (("a", "x"), ("b", "x"), ("c", "c"))
    ]
    (array,) = job_arrays([(f"ns-{number}", each) for number, each in enumerate(named) if each], 9, "/bin/bash", "jobs")
    assert array.pods == ("ns-0", "ns-1")
    assert "--job-name=x\n" in array.head


@pytest.mark.parametrize("root", ["jobs", "it's; $(touch evil) jobs"])
def test_each_task_goes_on_with_the_script_of_its_pod(tmp_path: Path, root: str) -> None:
    pods = ("ns-a.b", "ns-c")
    (array,) = job_arrays([(pod, task(pod)) for pod in pods], 9, "/bin/bash", str(tmp_path / root))
    folder = tmp_path / root / ".remote-slurm/arrays/x-0"
    folder.mkdir(parents=True)
    table = "".join(f"    {number}) pod={pod} ;;\n" for number, pod in enumerate(pods))
    script = folder / "job.sh"
    script.write_text(f"{array.head}{table}{array.foot}")
    for each in pods:
        (tmp_path / root / each).mkdir()
        (tmp_path / root / each / "job.sh").write_text('echo "$0 $PWD $SLURM_SUBMIT_DIR $SLURM_ARRAY_TASK_ID $1"\n')
    for number, each in enumerate(pods):
        (folder / f"{number}.out").write_text("from Slurm\n")
        ids = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(number), "SLURM_SUBMIT_DIR": str(folder)}
        environment = {"PATH": "/usr/bin:/bin", "CDPATH": "/", "HOME": "/nowhere", **ids}
        ran = subprocess.run(
            ["bash", "-p", script], env=environment, cwd="/", capture_output=True, text=True, check=True
        )
        place = tmp_path / root / each
        assert ran.stdout == f"{place}/job.sh {place} {place} {number} \n"
        assert (place / f"job-7_{number}.out").read_text() == "from Slurm\n"
    assert not (tmp_path / "evil").exists()
    assert parse_table(script.read_text()) == dict(enumerate(pods))
    ids["SLURM_ARRAY_TASK_ID"] = "2"
    assert subprocess.run(["bash", "-p", script], env=environment | ids, check=False).returncode == 1


@pytest.mark.parametrize(
    ("runtime", "arrays", "may"),
    [("singularity", "auto", True), ("none", "auto", False), ("none", "always", True)],
)
def test_a_pod_whose_programs_reach_slurm_is_a_task_only_if_wanted(runtime: str, arrays: str, *, may: bool) -> None:
    """One task has the id of its array: `scancel $SLURM_JOB_ID` in it ends all of them."""
    assert plan(pod(container()), settings={"ContainerRuntime": runtime, "JobArrays": arrays}).may_be_task is may
