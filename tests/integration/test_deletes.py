"""Deletes, by whatever way: a grace period for what runs, and nothing left but tombstones."""

from typing import Any

import pytest

from tests.pods import Json, key, pod, request, sh
from tests.serving import Serving, wait_until
from tests.shared_folder import go_on, held
from tests.vk import Watched


def with_log(script: str, **spec: Any) -> tuple[Json, str]:
    """A pod whose container writes to a file on the node that outlives its folder; and that file."""
    a_pod = pod(volumes=[{"name": "out", "hostPath": {"path": "", "type": "DirectoryOrCreate"}}], **spec)
    folder = f"/tmp/{key(a_pod)}"
    a_pod["spec"]["volumes"][0]["hostPath"]["path"] = folder
    mount = {"name": "out", "mountPath": folder}
    a_pod["spec"]["containers"] = [sh("c", script.replace("$OUT", f"{folder}/out"), volumeMounts=[mount])]
    return a_pod, f"{folder}/out"


def in_background(served: Serving, script: str, **spec: Any) -> tuple[Watched, str]:
    a_pod, out = with_log(script, **spec)
    return served.vk.create(request(a_pod)).until_running("c"), out


def test_a_running_container_gets_sigterm_and_may_end_in_its_own_time(served: Serving) -> None:
    trapping, out = in_background(
        served,
        "trap 'echo asked >> $OUT; sleep 1; echo ended >> $OUT; exit 0' TERM; echo began > $OUT; "
        "while :; do sleep 0.2; done",
    )
    wait_until(lambda: served.site.exec(f"cat {out} 2>/dev/null || true") == "began\n", "the container has begun")
    trapping.delete()
    served.until_gone(trapping.pod)
    assert served.site.exec(f"cat {out}") == "began\nasked\nended\n"
    assert served.client.status(trapping.pod).json == []


def test_a_container_that_ignores_sigterm_is_killed_in_the_end(served: Serving) -> None:
    stubborn, out = in_background(
        served,
        "trap 'echo asked >> $OUT' TERM; echo began > $OUT; while :; do sleep 0.2; done",
        terminationGracePeriodSeconds=4,
    )
    wait_until(lambda: served.site.exec(f"cat {out} 2>/dev/null || true") == "began\n", "the container has begun")
    stubborn.delete()
    served.until_gone(stubborn.pod)
    assert served.site.exec(f"cat {out}") == "began\nasked\n"
    processes = f"pgrep -f '[o]ut.*{key(stubborn.pod)}' || true"
    wait_until(lambda: served.site.exec(processes) == "", "none of its processes is left")


def test_a_delete_may_have_a_grace_period_of_its_own(served: Serving) -> None:
    """What ignores SIGTERM writes ten lines a second from then on; in the pod's own ten minutes these were 6000."""
    stubborn, out = in_background(
        served,
        "trap 'told=yes' TERM; echo began > $OUT; while :; do [ -z \"$told\" ] || echo >> $OUT; sleep 0.1; done",
        terminationGracePeriodSeconds=600,
    )
    wait_until(lambda: served.site.exec(f"cat {out} 2>/dev/null || true") == "began\n", "the container has begun")
    stubborn.pod["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 3}
    stubborn.delete()
    served.until_gone(stubborn.pod)
    assert 10 < len(served.site.exec(f"cat {out}").splitlines()) < 200


def test_a_grace_period_of_zero_is_two_seconds(served22: Serving) -> None:
    """What ignores SIGTERM writes ten lines a second from then on; in the 30 s that are the default these were 300."""
    stubborn, out = in_background(
        served22,
        "trap 'told=yes' TERM; touch $OUT; while :; do [ -z \"$told\" ] || echo >> $OUT; sleep 0.1; done",
        terminationGracePeriodSeconds=0,
    )
    wait_until(lambda: served22.site.exec(f"ls {out} 2>/dev/null || true"), "the container has begun")
    stubborn.delete()
    served22.until_gone(stubborn.pod)
    assert len(served22.site.exec(f"cat {out}").splitlines()) < 200


def test_a_container_is_not_killed_within_its_grace_period(served: Serving) -> None:
    """The file's lines come from the container itself, one a tenth of a second, from SIGTERM to its end."""
    busy, out = in_background(
        served,
        "trap 'n=0; while [ $n -lt 30 ]; do echo $n >> $OUT; sleep 0.1; n=$((n+1)); done; exit 0' TERM; "
        "touch $OUT; while :; do sleep 0.2; done",
        terminationGracePeriodSeconds=120,
    )
    wait_until(lambda: served.site.exec(f"ls {out} 2>/dev/null || true"), "the container has begun")
    busy.delete()
    served.until_gone(busy.pod)
    assert len(served.site.exec(f"cat {out}").splitlines()) == 30


def test_a_running_init_container_is_ended_and_nothing_follows(served: Serving) -> None:
    a_pod, out = with_log("echo main >> $OUT", terminationGracePeriodSeconds=2)
    a_pod["spec"]["initContainers"] = [sh("init", "sleep 600")]
    stopped = served.vk.create(request(a_pod)).until_running("init")
    stopped.delete()
    served.until_gone(a_pod)
    assert served.site.exec(f"cat {out} 2>/dev/null || true") == ""


def test_a_pending_job_is_cancelled(served: Serving) -> None:
    a_pod = pod(sh("c", "true"), flags="--begin=now+1hour")
    pending = served.vk.create(request(a_pod))
    pending.until_true(lambda: "BeginTime" in str(pending.state("c")), "the reason is known")
    assert pending.phase == "Pending"
    pending.delete()
    served.until_gone(a_pod)
    served.until_jobs(a_pod, "CANCELLED")


def test_a_finished_pod_is_removed(served: Serving) -> None:
    done = served.vk.create(request(pod(sh("c", "true")))).until_over()
    done.delete()
    served.until_gone(done.pod)


def test_deleting_twice_is_deleting_once(served: Serving) -> None:
    twice = served.vk.create(request(pod(sh("c", "sleep 600"), terminationGracePeriodSeconds=1))).until_running("c")
    twice.delete()
    twice.delete()
    served.until_gone(twice.pod)
    twice.delete()
    served.until_gone(twice.pod)


def test_only_the_pod_that_was_asked_for_is_deleted(served: Serving) -> None:
    """Also where their UIDs differ in one character."""
    stays, goes = held("exit 0"), pod(sh("c", "sleep 600"), terminationGracePeriodSeconds=1)
    uid = stays["metadata"]["uid"]
    goes["metadata"]["uid"] = uid[:-1] + ("0" if uid[-1] != "0" else "1")
    kept, gone = (served.vk.create(request(each)).until_running("c") for each in (stays, goes))
    gone.delete()
    served.until_gone(gone.pod)
    go_on(served, kept.pod)
    assert kept.until_over().phase == "Succeeded"


def test_a_delete_right_behind_the_create(served: Serving) -> None:
    pods = [served.vk.create(request(pod(sh("c", "sleep 600"), terminationGracePeriodSeconds=1))) for _ in range(3)]
    for each in pods:
        each.delete()
    for each in pods:
        served.until_gone(each.pod)
        assert served.client.status(each.pod).json == []


# --- jobs that end by another hand -----------------------------------------------------------------------------------


def test_a_job_that_is_cancelled_from_outside_fails_its_pod_and_says_so(served: Serving) -> None:
    cancelled = served.vk.create(request(pod(sh("a", "sleep 600"), sh("b", "sleep 600")))).until_running("a")
    served.site.exec(f"scancel {cancelled.job}")
    cancelled.until_over()
    assert cancelled.phase == "Failed"
    for name in ("a", "b"):
        assert cancelled.exit_code(name) != 0
        assert "cancelled" in cancelled.terminated(name)["message"]


def test_exit_code_0_after_a_cancel_is_no_success(served: Serving) -> None:
    cancelled = served.vk.create(
        request(pod(sh("c", "trap 'exit 0' TERM; while :; do sleep 0.2; done")))
    ).until_running("c")
    served.site.exec(f"scancel {cancelled.job}")
    cancelled.until_over()
    assert cancelled.phase == "Failed"
    assert cancelled.exit_code("c") != 0
    assert "cancelled" in cancelled.terminated("c")["message"]


def test_a_job_that_is_cancelled_before_it_runs_fails_its_pod_and_says_so(served24: Serving, served22: Serving) -> None:
    """At both sites at once: each waits for a record that may come late."""

    def cancelled(served: Serving) -> Watched:
        a_pod = pod(sh("c", "true"), flags="--begin=now+1hour", initContainers=[sh("i", "true")])
        created = served.vk.create(request(a_pod))
        served.site.exec(f"scancel {created.job}")
        return created

    for each in [cancelled(served24), cancelled(served22)]:
        each.until_over()
        assert each.phase == "Failed"
        for name in ("i", "c"):
            assert each.exit_code(name) != 0
            assert "cancelled" in each.terminated(name)["message"]


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_a_batch_script_that_is_killed_fails_its_pod(served22: Serving, signal: str) -> None:
    volumes = {
        "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}, {"name": "s", "secret": {"secretName": "s"}}],
        "terminationGracePeriodSeconds": 1,
    }
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in "vs"]
    a_pod = pod(sh("c", "sleep 600", volumeMounts=mounts), **volumes)
    secret = {"metadata": {"name": "s"}, "data": {"key": "dDBw"}}
    killed = served22.vk.create(request(a_pod, secrets=[secret])).until_running("c")
    served22.site.exec(f"scancel --batch --signal={signal} {killed.job}")
    killed.until_over()
    assert killed.phase == "Failed"
    assert killed.exit_code("c") != 0
    # a killed job removes nothing itself: the next poll does
    wait_until(lambda: not [path for path in served22.left_of(a_pod) if "/secret" in path], "its secrets are gone")
