"""Jobs that Slurm ends, keeps waiting, or runs again: what their pods say, at every look of the Virtual Kubelet.

The tests share one site and one sidecar, and go on in this order: what takes long is begun early.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.pods import Json, key, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.shared_folder import execute, in_folder, until_in_folder, with_folder
from tests.sidecar import Sidecar
from tests.sites import Site
from tests.vk import Watched

SLEEP = "exec sleep 600"


@dataclass
class Strict(Serving):
    """The site where Slurm is strict. Jobs in `urgent` are not pushed out."""

    named: dict[str, Watched] = field(default_factory=dict)

    def run(self, *containers: Json, flags: str = "", **spec: Any) -> Watched:
        return self.vk.create(request(pod(*containers, flags=f"--mem=200M {flags}", **spec)))

    def slurm(self, command: str) -> str:
        return self.site.exec(command)

    def usage(self, a_pod: Json) -> Json:
        rows = json.loads(self.client.ask("GET", "/ui/state", None).text)["pods"]
        (found,) = [dict(each["usage"]) for each in rows if each["pod"] == key(a_pod)]
        return found

    def requeues(self, watched: Watched) -> int:
        """How often Slurm has requeued the job, as Slurm counts."""
        return int(self.slurm(f"scontrol show job {watched.job}").partition("Restarts=")[2].split()[0])

    def start_now(self, watched: Watched) -> None:
        """Slurm lets a requeued job wait for two minutes.

        A node on which the last run has not quite ended fails to launch the next one: the node is drained, and the job
        is held.
        """
        node = self.slurm("hostname").strip()

        def has_started() -> bool:
            if "drain" in self.slurm(f"sinfo -h -n {node} -o %T"):
                self.slurm(f"scontrol update nodename={node} state=resume; scontrol release {watched.job}")
                self.site.start_requeued(watched.job)
            return "PENDING" not in self.jobs_of(watched.pod)

        self.site.start_requeued(watched.job)
        wait_until(has_started, "the job runs again")

    def run_again(self, watched: Watched, container: str) -> None:
        """See that a requeued pod waits, and then runs."""
        watched.until_true(lambda: "waiting" in watched.state(container) and restarts(watched) == 1, "it waits again")
        assert watched.phase == "Pending"

        def is_reportable() -> bool:
            return "BeginTime" in watched.state(container).get("waiting", {}).get("message", "")

        watched.until_true(is_reportable, "it says why it waits, as Slurm does a moment later")
        wait_until(lambda: "PENDING" in self.jobs_of(watched.pod), "the last run is cleaned up")
        self.start_now(watched)


def restarts(watched: Watched) -> int:
    assert watched.status
    return int(watched.status["containers"][0]["restartCount"])


def second_run_ends(then: str = "exit 0", before: str = "", **spec: Any) -> tuple[Json, Json]:
    """A container that runs until it is stopped, and does something else when it runs again; and its volume."""
    a_pod = pod(flags="--mem=200M --requeue", **spec)
    volume = {"name": "mark", "hostPath": {"path": f"/tmp/{key(a_pod)}", "type": "DirectoryOrCreate"}}
    a_pod["spec"]["volumes"] = [volume, *spec.get("volumes", [])]
    script = f"{before}\nif [ -e /mark/again ]; then {then}; fi; touch /mark/again; exec sleep 600"
    return a_pod, sh("c", script, volumeMounts=[{"name": "mark", "mountPath": "/mark"}])


def message(watched: Watched, container: str) -> str:
    """Of a container that failed."""
    assert watched.phase == "Failed"
    assert watched.exit_code(container) != 0
    return str(watched.terminated(container)["message"])


@pytest.fixture(scope="module")
def quiet(strict_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    config = strict_site.config(tmp_path_factory.mktemp("strict"))
    with_site = Strict(strict_site, config, Sidecar(config))
    yield with_site
    assert with_site.sidecar.stop() == 0
    assert "Traceback" not in with_site.sidecar.log


@pytest.fixture(scope="module")
def strict(quiet: Strict, node_failed: dict[str, Watched]) -> Strict:
    """With what takes a minute begun, once the node is back."""
    assert node_failed
    quiet.named["late"] = quiet.run(sh("c", SLEEP), sh("done", "exit 0"), sh("bad", "exit 3"), flags="-p urgent -t 1")
    return quiet


@pytest.fixture(scope="module")
def node_failed(quiet: Strict) -> dict[str, Watched]:
    """The site's only node fails under two pods, one of which may run again."""
    again, container = second_run_ends()
    again["spec"]["containers"].append(container)
    pods = {
        "once": quiet.run(sh("c", SLEEP), initContainers=[sh("i", "exit 0")]),
        "again": quiet.vk.create(request(again)),
    }
    for each in pods.values():
        each.until_running("c")
    wait_until(lambda: quiet.slurm(f"ls /tmp/{key(again)}/again || true"), "the container has begun")
    node = quiet.slurm("hostname").strip()
    quiet.slurm(f"scontrol update nodename={node} state=down reason=test")
    pods["once"].until_over()
    pods["again"].until_true(lambda: "waiting" in pods["again"].state("c"), "it waits again")
    # a node on which the last run has not quite ended would fail to launch the next one, and be drained for it
    quiet.slurm("timeout 100 sh -c 'while pgrep -f [s]lurmd/job >/dev/null; do sleep 0.1; done' || true")
    quiet.slurm(f"scontrol update nodename={node} state=resume || true")  # it may have come back by itself
    return pods


def test_a_failed_node_fails_the_pod_and_says_so(node_failed: dict[str, Watched], quiet: Strict) -> None:
    once = node_failed["once"]
    assert "a node of the job failed" in message(once, "c")
    assert once.exit_code("i") == 0
    quiet.until_jobs(once.pod, "NODE_FAIL")


def test_a_pod_that_may_run_again_does_when_its_node_has_failed(node_failed: dict[str, Watched], quiet: Strict) -> None:
    again = node_failed["again"]
    quiet.run_again(again, "c")
    again.until_over()
    # whether the short second run is seen running is chance; nothing else is
    begun = ["Pending", "Running", "Pending"]
    assert again.phases in ([*begun, "Succeeded"], [*begun, "Running", "Succeeded"])
    # where the node could not launch the next run at once, Slurm has requeued the job once more
    assert restarts(again) == quiet.requeues(again)


# --- pending ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def busy(strict: Strict) -> Iterator[Watched]:
    """A job that others wait for, however long their tests take."""
    busy = strict.run(sh("c", SLEEP), flags="-p urgent -t 10").until_running("c")
    yield busy
    busy.delete()


@pytest.mark.parametrize(
    ("flags", "sentence", "starts"),
    [
        ("--hold", "JobHeldUser: its user holds it", False),
        ("--begin=now+1hour", "BeginTime: its earliest start time has not come", True),
        ("--dependency=afterany:BUSY", "Dependency: waiting for another job to end", False),
        ("-c 64 -t 5", "Resources: waiting for nodes to become free", True),
        ("-p short -t 20", "PartitionTimeLimit: it asks for more time than its partition allows", False),
    ],
)
def test_a_pending_pod_says_why_and_when_it_is_expected_to_start(
    strict: Strict, busy: Watched, flags: str, sentence: str, *, starts: bool
) -> None:
    waits = strict.run(sh("c", "true"), flags=flags.replace("BUSY", busy.job))
    word = sentence.partition(":")[0]

    def is_reportable() -> bool:
        reported = waits.state("c").get("waiting", {})
        return bool(reported.get("reason") == word and (not starts or "expected to start at 20" in reported["message"]))

    waits.until_true(is_reportable, f"it says {word}")
    assert waits.phases == ["Pending"]
    assert f"job {waits.job} is pending in Slurm: {sentence}" in waits.state("c")["waiting"]["message"]
    waits.delete()
    strict.until_gone(waits.pod)


# --- memory ----------------------------------------------------------------------------------------------------------


def test_a_container_that_runs_out_of_memory_says_so(strict: Strict) -> None:
    hungry = strict.run(sh("c", "exec dd if=/dev/zero of=/dev/null bs=900M count=1"))
    a_pod = hungry.pod | {"metadata": pod()["metadata"] | {"annotations": {}}}
    names_no_memory = strict.vk.create(request(a_pod)).until_over()
    used = strict.usage(a_pod)
    assert used["hint"] == "the pod was killed for memory that it does not name: set resources.limits.memory"
    # what the kernel has of the job's own cgroup, up to its limit
    assert used["memoryLimitBytes"] * 0.9 < used["memoryPeakBytes"] <= used["memoryLimitBytes"]
    assert "the pod has no memory limit" in message(names_no_memory, "c")
    assert "set resources.limits.memory" in message(names_no_memory, "c")
    hungry.until_over()
    assert "no memory limit" not in message(hungry, "c")
    assert "the job ran out of memory" in message(hungry, "c")
    assert (hungry.exit_code("c"), hungry.terminated("c")["signal"]) == (137, 9)
    strict.until_jobs(hungry.pod, "OUT_OF_MEMORY")


# --- run again -------------------------------------------------------------------------------------------------------


def test_a_requeued_pod_waits_again_runs_again_and_only_then_ends(strict: Strict) -> None:
    """With its secrets; containers that had ended run again too, and init containers come first again."""
    read = "cat /secret/token >> /mark/log; echo begins"
    a_pod, container = second_run_ends(
        "echo again; exit 0", before=read, volumes=[{"name": "s", "secret": {"secretName": "s"}}]
    )
    container["volumeMounts"].append({"name": "s", "mountPath": "/secret"})
    mark = container["volumeMounts"][0]
    note = "echo {} >> /mark/log"
    a_pod["spec"]["containers"] = [container, sh("quick", note.format("quick"), volumeMounts=[mark])]
    a_pod["spec"]["initContainers"] = [sh("i", note.format("init"), volumeMounts=[mark])]
    secret = {"metadata": {"name": "s", "namespace": "default"}, "data": {"token": "dG9rZW4K"}}
    again = strict.vk.create(request(a_pod, secrets=[secret])).until_running("c")
    log = f"cat /tmp/{key(a_pod)}/log"
    wait_until(lambda: sorted(strict.slurm(log).split()) == ["init", "quick", "token"], "the first run has begun")
    wait_until(lambda: strict.slurm(f"ls /tmp/{key(a_pod)}/again || true"), "it is past its first lines")
    again.until_true(lambda: "terminated" in again.state("quick"), "one has ended")
    strict.slurm(f"scontrol requeue {again.job}")
    strict.run_again(again, "c")
    again.until_over()
    assert again.phase == "Succeeded"
    assert [again.exit_code(name) for name in ("i", "c", "quick")] == [0, 0, 0]
    assert restarts(again) == strict.requeues(again)
    assert again.status
    last = [each["lastState"]["terminated"] for each in again.status["containers"]]
    assert [each["exitCode"] for each in last] == [143, 0]
    assert last[0]["message"] == "the job was told to stop: Slurm has requeued the job"
    assert again.log("c") == "begins\nagain\n"
    assert strict.client.logs(again.pod, "c", Previous=True).text == "begins\n"
    assert sorted(strict.slurm(log).split()) == ["init", "init", "quick", "quick", "token", "token"]
    assert "token" not in " ".join(strict.site.files(strict.root))


def test_a_requeued_pod_goes_on_counting_its_restarts(strict: Strict) -> None:
    """Watched sees to it that they never become fewer."""
    a_pod, container = second_run_ends()
    a_pod["spec"]["containers"] = [container, sh("fails", "exit 3")]
    a_pod["spec"]["restartPolicy"] = "OnFailure"
    again = strict.vk.create(request(a_pod))

    def restarted() -> int:
        """How often it has been started again; its last end is that of the requeue if it ran just then."""
        assert again.status
        return int(again.status["containers"][1]["restartCount"])

    again.until_true(lambda: restarted() >= 1, "it has been started again")
    wait_until(lambda: strict.slurm(f"ls /tmp/{key(a_pod)}/again || true"), "the other one has begun")
    strict.slurm(f"scontrol requeue {again.job}")
    again.until_true(lambda: restarted() >= 2 and "BeginTime" in str(again.state("c")), "it waits again")
    wait_until(lambda: "PENDING" in strict.jobs_of(again.pod), "the last run is cleaned up")
    again.poll()
    counted = restarted()
    strict.start_now(again)
    again.until_true(lambda: "terminated" in again.state("c"), "it runs again")
    again.until_true(lambda: restarted() > counted, "restarts are counted on")
    again.delete()


def test_a_requeued_pod_that_is_cancelled_while_it_waits_failed(strict: Strict) -> None:
    a_pod, container = second_run_ends()
    a_pod["spec"]["containers"] = [container]
    held = strict.vk.create(request(a_pod)).until_running("c")
    strict.slurm(f"scontrol requeuehold {held.job}")
    held.until_true(
        lambda: (
            held.state("c").get("waiting", {}).get("reason") == "job_requeued_in_held_state" and restarts(held) == 1
        ),
        "it is held, and was started once",
    )
    strict.slurm(f"scancel {held.job}")
    held.until_over()
    assert "the job was cancelled" in message(held, "c")


def test_a_preempted_pod_says_so_and_one_that_may_run_again_waits(strict: Strict) -> None:
    a_pod, container = second_run_ends("exit 5")
    a_pod["metadata"]["annotations"]["slurm-job.vk.io/flags"] += " -c 30"
    a_pod["spec"]["containers"] = [container]
    once, again = strict.run(sh("c", SLEEP), flags="-c 30"), strict.vk.create(request(a_pod))
    once.until_running("c")
    again.until_running("c")
    wait_until(lambda: strict.slurm(f"ls /tmp/{key(a_pod)}/again || true"), "the container has begun")
    urgent = strict.slurm("su hpcuser -c 'sbatch --parsable -p urgent -c 60 -o /dev/null --wrap \"sleep 600\"'").strip()
    once.until_over()
    assert "the job was preempted by another one" in message(once, "c")
    strict.until_jobs(once.pod, "PREEMPTED")
    again.until_true(lambda: restarts(again) == 1, "it waits again")
    strict.slurm(f"scancel {urgent}")
    strict.run_again(again, "c")
    again.until_over()
    assert again.phases[:3] == ["Pending", "Running", "Pending"]
    assert again.phase == "Failed"
    assert again.exit_code("c") == 5
    assert not again.terminated("c").get("message")


def test_pre_stop_runs_when_a_pod_is_preempted_with_grace(strict: Strict) -> None:
    ends = "trap 'echo told >>$DIR/order; exit 0' TERM; touch $DIR/up; while :; do sleep 0.1; done"
    hook = {"preStop": execute("echo hook >>$DIR/order")}
    a_pod = with_folder(sh("c", ends, lifecycle=hook), flags="--mem=200M -p graceful -c 40")
    pushed = strict.vk.create(request(a_pod)).until_running("c")
    until_in_folder(strict, a_pod, "up")
    strict.slurm("su hpcuser -c 'sbatch --parsable -p urgent -c 60 -o /dev/null --wrap \"sleep 1\"'")
    pushed.until_over()
    assert in_folder(strict, a_pod, "order").split() == ["hook", "told"]
    assert pushed.exit_code("c") == 143


# --- suspended -------------------------------------------------------------------------------------------------------


def test_the_delete_of_a_suspended_pod_holds_up_no_other(strict: Strict) -> None:
    """It has its preStop where it goes on in time."""
    hook = {"preStop": execute("echo hook >>$DIR/order")}
    stays = sh("c", f"touch $DIR/up; {SLEEP}", lifecycle=hook)
    slow = with_folder(stays, flags="--mem=200M", terminationGracePeriodSeconds=600)
    suspended = strict.vk.create(request(slow)).until_running("c")
    other = strict.run(sh("c", SLEEP)).until_running("c")
    until_in_folder(strict, suspended.pod, "up")
    strict.slurm(f"scontrol suspend {suspended.job}")
    strict.until_jobs(suspended.pod, "SUSPENDED")
    suspended.delete()
    other.delete()
    strict.until_gone(other.pod)
    assert strict.jobs_of(suspended.pod) == ["SUSPENDED"]
    strict.slurm(f"scontrol resume {suspended.job}")
    strict.until_gone(suspended.pod)
    assert in_folder(strict, suspended.pod, "order") == "hook\n"


# --- launch ----------------------------------------------------------------------------------------------------------


def test_a_job_that_cannot_be_launched_fails_the_pod_and_says_so(strict_site: Site, serve: Serve) -> None:
    nowhere = serve(strict_site, BashPath="/no/such/bash")
    lost = nowhere.vk.create(request(pod(sh("c", "true"), flags="--mem=200M"))).until_over()
    assert "the job ended as FAILED" in message(lost, "c")
    assert "before any container started" in message(lost, "c")


# --- at the very end -------------------------------------------------------------------------------------------------


def test_a_time_limit_leaves_earlier_ends_of_containers_alone(strict: Strict) -> None:
    late = strict.named["late"].until_over()
    assert "the job reached its time limit" in message(late, "c")
    assert (late.exit_code("done"), late.exit_code("bad")) == (0, 3)
    assert not late.terminated("bad").get("message")
    strict.until_jobs(late.pod, "TIMEOUT")
    assert Path(late.log("c")).name == ""
