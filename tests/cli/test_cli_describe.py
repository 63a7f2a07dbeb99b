"""`remote-slurm describe`: the spec, the job, times, Events, usage, files and log lines of a pod."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remote_slurm.cli.describe import lines
from tests.cli.made_up_site import Served, served

SPEC = {
    "annotations": {"slurm-job.vk.io/flags": "--mem=1G", "other.io/x": None},
    "restartPolicy": "Never",
    "terminationGracePeriodSeconds": 30,
    "containers": [
        {
            "name": "c",
            "image": "busybox",
            "command": ["sh", "-c", "echo\nhello"],
            "limits": {"cpu": "2", "memory": "1Gi"},
            "env": ["TOKEN"],
            "mounts": [{"name": "work", "mountPath": "/work", "readOnly": True}],
        }
    ],
    "volumes": [{"name": "work", "kind": "persistentVolumeClaim", "source": "data"}],
}


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as found:
        job = found.add(7, "team/train", labels={"app": "train"})
        found.account.specs[job.pod] = SPEC
        found.account.logs[job.pod] = b"first\nsecond\nthird \033[2J\n"
        await found.polled()
        yield found


async def test_a_line_without_an_end_is_cut(sidecar: Served) -> None:
    sidecar.account.logs["team-7"] = b"\r10 %" * 1_000_000
    done = await sidecar("describe", "-n", "team", "train")
    assert "10 %" in done.stdout
    assert done.stdout.endswith("  (not shown: more than 64 KiB)\n")
    assert len(done.stdout) < 70_000


async def test_all_that_is_known_of_a_pod_is_printed(sidecar: Served) -> None:
    done = await sidecar("describe", "-n", "team", "train", "--tail", "2")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    for line in (
        "Name:            train",
        "Namespace:       team",
        "Labels:          app=train",
        "Annotations:     slurm-job.vk.io/flags=--mem=1G",
        "State:           RUNNING",
        "Node:            n1",
        "  ID:            7",
        "    Image:       busybox",
        "      hello",
        "    State:       Running",
        "    Limits:      cpu 2, memory 1Gi",
        "    Environment: TOKEN",
        "      /work from work (ro)",
        "  work:          persistentVolumeClaim data",
        "  Folder:        /root/team-7",
        "  File:          logs/c (24 B)",
        "Log of c, last lines:\n  second\n  third  [2J",
    ):
        assert f"{line}\n" in text, line
    events = text.partition("Events:\n")[2]
    assert "Normal  Submitted  0s " in events
    assert "submitted to Slurm as job 7" in events
    assert "job 7 started on n1" in events


async def test_json_has_the_pod_and_its_description(sidecar: Served) -> None:
    (pod,) = json.loads((await sidecar("describe", "team/train", "-o", "json")).stdout)
    assert (pod["name"], pod["folder"], pod["job"]["id"]) == ("team/train", "/root/team-7", "7")


async def test_pods_are_selected_by_labels(sidecar: Served) -> None:
    sidecar.add(8, "team/other")
    text = (await sidecar("describe", "-l", "app=train", "--tail", "0")).stdout
    assert (text.count("Name: "), "Log of" in text) == (1, False)


async def test_a_job_that_runs_has_no_end_yet(sidecar: Served) -> None:
    sidecar.account.jobs["7"].end_time = 1_800_000_000
    sidecar.account.jobs["7"].start = 1_799_990_000
    await asyncio.wait_for(_polled_again(sidecar), 60)
    text = (await sidecar("describe", "train")).stdout
    assert "  Ended:" not in text
    assert "  Ends By:       " in text


async def test_a_job_that_squeue_has_forgotten_is_described_by_its_records(tmp_path: Path) -> None:
    """After a restart of the sidecar, and MinJobAge after the end of the job."""
    async with served(tmp_path) as found:
        job = found.add(7, "team/train")
        found.account.specs[job.pod] = SPEC
        found.account.finish(job, 0)
        del found.account.jobs["7"]
        await found.polled()
        text = (await found("describe", "train")).stdout
        assert "State:           COMPLETED\nAge:" in text
        assert "Node:            n1\n" in text
        (about_job,) = re.findall(r"^Job:\n((?:  .*\n)+)", text, re.MULTILINE)
        assert "  State:         COMPLETED\n" in about_job
        assert "  Node:          n1\n" in about_job
        assert re.search(r"Normal  Completed  \d+s +job 7 has ended", text)
        (pod,) = json.loads((await found("status", "-o", "json")).stdout)["pods"]
        assert (pod["node"], pod["state"]) == ("n1", "COMPLETED")


async def _polled_again(sidecar: Served) -> None:
    asked = sidecar.site.asked["queue"]
    while sidecar.site.asked["queue"] < asked + 2:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)


async def test_states_from_before_a_failure_of_squeue_are_marked(sidecar: Served) -> None:
    sidecar.account.squeue_fails = "squeue failed with exit code 1"
    await asyncio.wait_for(_polled_again(sidecar), 60)
    text = (await sidecar("describe", "train")).stdout
    assert re.search(r"^Poll Fails:      since .*: squeue failed with exit code 1$", text, re.MULTILINE)
    assert "Labels:          app=train\n" in text
    done = await sidecar("status")
    assert (done.returncode, "RUNNING" in done.stdout) == (0, True)
    assert "remote-slurm: states of jobs are from before a failure, since " in done.stderr
    assert json.loads((await sidecar("status", "-o", "json")).stdout)["pollFailure"]["error"].startswith(
        "squeue failed"
    )


async def test_during_an_outage_what_the_sidecar_knows_is_printed(sidecar: Served) -> None:
    sidecar.site.down = True
    async with asyncio.timeout(60):
        while not sidecar.pods.poller.error:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    asked = sidecar.site.asked.copy()
    done = await sidecar("describe", "team-7")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Unreachable:     since \w{3}, .* \(\d+s\): no route to the site$", done.stdout, re.MULTILINE)
    for line in ("State:           RUNNING", "Node:            n1", "  ID:            7", "    State:       Running"):
        assert f"{line}\n" in done.stdout, line
    assert "submitted to Slurm as job 7" in done.stdout
    assert "Log of" not in done.stdout
    assert "earlier version" not in done.stdout
    (pod,) = json.loads((await sidecar("describe", "team-7", "-o", "json")).stdout)
    assert pod["unreachable"]["error"] == "no route to the site"
    assert abs(pod["unreachable"]["since"] - time.time()) < 60
    done = await sidecar("status")
    assert (done.returncode, "RUNNING" in done.stdout) == (0, True)
    assert "remote-slurm: the site is unreachable since " in done.stderr
    assert json.loads((await sidecar("status", "-o", "json")).stdout)["unreachable"]["error"] == "no route to the site"
    assert (await sidecar("status", "-l", "app=train")).stderr.startswith(
        "remote-slurm: the labels of pods are not known"
    )
    assert all(asked[name] == sidecar.site.asked[name] for name in ("list", "describe", "log"))


@pytest.mark.parametrize("pod", ["../../etc-x", "nobody", "a/b-1", "", "team-1;id"])
async def test_a_folder_that_is_no_pods_is_refused(sidecar: Served, pod: str) -> None:
    from remote_slurm.cli.client import at
    from remote_slurm.cli.replies import Refused

    async with at(sidecar.url) as client:
        with pytest.raises(Refused) as refused:
            await client.describe(pod)
    assert refused.value.status == 400
    assert sidecar.site.asked["describe"] == 0


def test_a_sidecar_of_an_earlier_version_sends_less() -> None:
    container = {"name": "c", "state": "terminated", "exitCode": 3, "startedAt": 5, "finishedAt": 9, "message": "sorry"}
    pod = {"pod": "a-1", "name": "a/b", "jobId": "", "state": "FAILED", "reason": "", "ageSeconds": None}
    text = "\n".join(lines(pod | {"initContainers": [], "containers": [container]}, {}, {}, "me@login"))
    assert "Job:             none yet" in text
    assert "      Exit Code: 3" in text
    assert "Events:          not known: the sidecar is of an earlier version" in text


def test_usage_is_shown_if_the_sidecar_sends_it() -> None:
    usage = {"text": "used 12% of 16 CPUs", "hint": "request fewer"}
    pod = {"pod": "a-1", "name": "a/b", "jobId": "1", "state": "RUNNING", "reason": "", "ageSeconds": 1, "usage": usage}
    text = "\n".join(lines(pod | {"initContainers": [], "containers": []}, {}, {}, "me@login"))
    assert "Usage:           used 12% of 16 CPUs\nHint:            request fewer" in text
