"""Like pods as one job array, and what Slurm does to its tasks."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fault_proxy import FaultProxy
from tests.integration.conftest import Through
from tests.integration.test_exec import Running
from tests.pods import Json, pod, request, sh
from tests.serving import Serving, wait_until
from tests.sidecar import Sidecar
from tests.sites import Site, free_port
from tests.vk import Watched

PODS = 8
ARRAYS = {"ContainerRuntime": "none", "JobArrays": "always"}


@dataclass(kw_only=True)
class Far(Serving):
    """A sidecar that uses arrays, whose line to the site can be held up."""

    proxy: FaultProxy

    @classmethod
    def at(cls, site: Site, through: Through, **keys: Any) -> "Far":
        proxy, served = through(site, **ARRAYS | keys)
        wait_until(lambda: served.client.ping()["resources"]["pods"] != "0", "the site was asked")
        return cls(served.site, served.config, served.sidecar, proxy=proxy)

    def create_together(self, pods: list[Json], create: Callable[[Json], Any] | None = None) -> list[Any]:
        """Hold the first submissions up until all pods are known, so that the others gather to an array."""
        self.proxy.freeze()
        with ThreadPoolExecutor(len(pods)) as threads:
            created = [threads.submit(create or self.vk.create, request(each)) for each in pods]
            try:
                wait_until(lambda: len(self.client.status(*pods).json) == len(pods), "all pods are known")
            finally:
                self.proxy.thaw()
            return [each.result() for each in created]


@pytest.fixture
def arrays(site: Site, through: Through) -> Far:
    return Far.at(site, through)


def burst(served: Far, script: str = "true", flags: str = "", **annotations: str) -> list[Watched]:
    pods = [pod(sh("c", script), flags=flags) for _ in range(PODS)]
    for each in pods:
        each["metadata"]["annotations"] |= {f"slurm-job.vk.io/{name}": value for name, value in annotations.items()}
    watched = served.create_together(pods)
    assert len(tasks(watched)) > 1, [each.job for each in watched]
    return watched


def tasks(watched: list[Watched]) -> list[Watched]:
    return [each for each in watched if "_" in each.job]


def all_deleted(served: Serving, watched: list[Watched]) -> None:
    """Deletes that are accepted together are carried out together."""
    for each in watched:
        each.delete()
    for each in watched:
        served.until_gone(each.pod)


def one_job_each(served: Serving, watched: list[Watched]) -> None:
    jobs = [job for job, state in served.site.jobs(served.root).items() if state != "CANCELLED"]
    assert sorted(jobs) == sorted(each.job for each in watched)


def test_like_pods_are_one_array_and_each_is_reported_alone(arrays: Far) -> None:
    pods = [pod(sh("c", f"echo {number}; exit {number % 3}")) for number in range(PODS)]
    watched = arrays.create_together(pods)
    for number, each in enumerate(watched):
        each.until_over()
        assert each.exit_code("c") == number % 3
        assert each.log("c") == f"{number}\n"
    one_job_each(arrays, watched)
    all_deleted(arrays, watched)


def test_deletes_stop_only_their_own_task(arrays: Far) -> None:
    watched = burst(arrays, "trap 'exit 3' TERM; while :; do sleep 0.1; done", flags="--mem=10M")
    for each in watched:
        each.until_running("c")
    gone, kept = watched[::2], watched[1::2]
    all_deleted(arrays, gone)
    assert [each.poll() for each in kept] == ["Running"] * len(kept)
    all_deleted(arrays, kept)


def test_deletes_of_tasks_that_wait(arrays: Far) -> None:
    watched = burst(arrays, flags="--begin=now+1hour")
    gone, kept = watched[::2], watched[1::2]
    all_deleted(arrays, gone)
    one_job_each(arrays, kept)
    all_deleted(arrays, kept)


def test_tasks_that_are_cancelled_while_they_wait_are_reported_at_once(each_site: Site, through: Through) -> None:
    """scancel of a task that waits leaves no trace; of the last ones, the array without a task."""
    served = Far.at(each_site, through)
    watched = burst(served, flags="--begin=now+1hour")
    first, *others = tasks(watched)
    served.site.exec(f"scancel {first.job}")
    first.until_true(lambda: first.poll() == "Failed", "the task was cancelled")
    assert all(each.poll() == "Pending" for each in others)
    served.site.exec(f"scancel {' '.join(each.job for each in others)}")
    for each in others:
        each.until_true(lambda each=each: each.poll() == "Failed", "the task was cancelled")
    all_deleted(served, watched)


def test_a_task_that_is_requeued_runs_again_alone(arrays: Far) -> None:
    watched = burst(arrays, "echo run; sleep 600", flags="--requeue --mem=10M")
    task, other = tasks(watched)[:2]
    for each in (task, other):
        each.until_running("c")
    arrays.site.exec(f"scontrol requeue {task.job}")
    task.until_true(lambda: arrays.site.jobs(arrays.root)[task.job] == "PENDING", "it waits again")
    arrays.site.start_requeued(task.job)
    one_job_each(arrays, watched)
    task.until_running("c")
    assert other.poll() == "Running"
    all_deleted(arrays, watched)


def test_a_task_that_is_held_waits_and_goes_on(arrays: Far) -> None:
    watched = burst(arrays, flags="--begin=now+1hour")
    first, *others = tasks(watched)
    arrays.site.exec(f"scontrol hold {first.job}")
    for each in (first, *others):
        arrays.site.exec(f"scontrol update JobId={each.job} StartTime=now")
    for each in others:
        each.until_over()
    first.until_true(lambda: "JobHeldAdmin" in str(first.status), "it is held")
    arrays.site.exec(f"scontrol release {first.job}")
    assert first.until_over().phase == "Succeeded"
    all_deleted(arrays, watched)


def test_a_throttle_limits_how_many_pods_of_an_array_run_at_once(arrays: Far) -> None:
    watched = burst(arrays, "sleep 600", flags="--mem=10M", **{"array-throttle": "1"})
    arrays_of_jobs = {each.job.partition("_")[0] for each in tasks(watched)}
    wait_until(
        lambda: all(
            [state for job, state in arrays.site.jobs(arrays.root).items() if job.startswith(f"{array}_")].count(
                "RUNNING"
            )
            == 1
            for array in arrays_of_jobs
        ),
        "one task of each array runs",
    )
    all_deleted(arrays, watched)


def test_a_sidecar_that_starts_anew_knows_the_tasks(arrays: Far, sidecar: Callable[..., Sidecar]) -> None:
    watched = burst(arrays, "sleep 600", flags="--mem=10M")
    for each in watched:
        each.until_running("c")
    arrays.sidecar.kill()
    again = Serving(arrays.site, arrays.config, sidecar(arrays.config))
    wait_until(lambda: again.client.ping()["resources"]["pods"] != "0", "the site was asked")
    for each in watched:
        (status,) = again.client.status(each.pod).json
        assert status["JID"] == each.job
        assert "running" in status["containers"][0]["state"]
        again.client.delete(each.pod)
    for each in watched:
        again.until_gone(each.pod)


def test_a_command_runs_in_a_task(each_site: Site, through: Through) -> None:
    """srun of Slurm 22.05 takes no id of a task."""
    served = Far.at(each_site, through, EnableExec=True, SidecarPort=free_port())
    watched = burst(served, "sleep 600", flags="--mem=10M")
    for each in tasks(watched)[:2]:
        running = Running(served, each.until_running("c"))
        assert running.sh("echo $SLURM_ARRAY_JOB_ID; pwd").splitlines()[-1].startswith("/")
        assert running.sh("exit 3", code=3) == ""
    all_deleted(served, watched)


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def limited(accounted_site: Site, through: Through) -> Far:
    """A site with a QOS in which a user may have seven jobs: four single ones, and no array of four beside them."""
    accounted_site.exec(
        "sacctmgr -i add qos seven; sacctmgr -i modify qos seven set MaxSubmitJobsPerUser=7 && "
        "sacctmgr -i modify user hpcuser set qos+=seven"
    )
    return Far.at(accounted_site, through)


def test_an_array_beyond_a_limit_of_jobs_becomes_single_jobs(limited: Far) -> None:
    """Slurm counts the tasks of an array, and refuses the array as a whole."""
    pods = [pod(sh("c", "true"), flags="--qos=seven --begin=now+1hour") for _ in range(20)]
    jobs = [answer.json["PodJID"] for answer in limited.create_together(pods, limited.client.create)]
    wait_until(lambda: len(limited.site.jobs(limited.root)) == 7, "as many pods as may have a job")
    assert {job for job in jobs if job} <= limited.site.jobs(limited.root).keys()
    # which array is the one too many is chance, and whether a smaller one still fits: tests/site/test_array_limit.py
    assert "QOSMaxSubmitJobPerUserLimit" in limited.sidecar.log
    for each in pods:
        limited.client.delete(each)
    for each in pods:
        limited.until_gone(each)


# In slurmctld: refuses arrays of more than two tasks
NO_LARGE_ARRAYS = """
function slurm_job_submit(job_desc, part_list, submit_uid)
    local _, commas = string.gsub(job_desc.array_inx or "", ",", "")
    if commas < 2 then return slurm.SUCCESS end
    slurm.log_user("job arrays of that size are not allowed here")
    return slurm.ERROR
end
function slurm_job_modify() return slurm.SUCCESS end
return slurm.SUCCESS
"""


@pytest.fixture
def plugin(fragile_site: Site) -> Iterator[Site]:
    """A site whose job_submit plugin refuses arrays of more than two tasks."""
    site, conf = fragile_site, "/etc/slurm/slurm.conf"
    restart = "site-daemon stop slurmctld && site-daemon start slurmctld"
    site.exec(f"cat >/etc/slurm/job_submit.lua <<'END'\n{NO_LARGE_ARRAYS}\nEND")
    site.exec(f"cp {conf} {conf}.before && echo JobSubmitPlugins=lua >>{conf} && {restart}")
    yield site
    site.exec(f"mv {conf}.before {conf} && rm /etc/slurm/job_submit.lua && {restart}")


def test_arrays_that_a_plugin_refuses_become_smaller_ones(plugin: Site, through: Through) -> None:
    proxy, served = through(plugin, **ARRAYS)
    wait_until(lambda: served.client.ping()["resources"]["pods"] != "0", "the site was asked")
    proxy.delay(0.3)
    for _ in range(2):
        bodies = [request(pod(sh("c", "true"))) for _ in range(PODS)]
        with ThreadPoolExecutor(PODS) as threads:
            watched = list(threads.map(served.vk.create, bodies))
        for each in watched:
            assert each.until_over().phase == "Succeeded"
        assert "accepts smaller ones" in served.sidecar.log
    assert tasks(watched)
