"""Containers that run more than once in one job: restartPolicy, its back-off, and what a status says meanwhile."""

from tests.pods import request, sh
from tests.serving import Serving, wait_until
from tests.shared_folder import TOLD, go_on, in_folder, with_folder
from tests.vk import Watched

COUNT = "echo run >>$DIR/runs; echo of run $(wc -l <$DIR/runs); "


def status_of(watched: Watched, container: str) -> dict[str, object]:
    assert watched.status
    found: dict[str, object] = next(each for each in watched.status["containers"] if each["name"] == container)
    return found


def test_a_container_that_fails_is_started_again_until_it_succeeds(served22: Serving) -> None:
    """At once, and then after ten seconds; it says how often, why it waits, and how its last run ended."""
    script = COUNT + "[ $(wc -l <$DIR/runs) -ge 3 ] || exit 3"
    again = served22.vk.create(request(with_folder(sh("c", script), sh("once", "exit 0"), restartPolicy="OnFailure")))
    again.until_true(lambda: again.state("c").get("waiting", {}).get("reason") == "CrashLoopBackOff", "it backs off")
    logs = again.log("c"), again.log("c", Previous=True)  # within these ten seconds
    assert logs == ("of run 2\n", "of run 1\n")
    assert again.state("c")["waiting"]["message"].startswith("back-off 10s restarting the container")
    assert status_of(again, "c")["restartCount"] == 1
    assert status_of(again, "c")["lastState"]["terminated"]["exitCode"] == 3  # type: ignore[index]
    again.until_over()
    assert again.phase == "Succeeded"
    assert (status_of(again, "c")["restartCount"], status_of(again, "once")["restartCount"]) == (2, 0)
    assert again.log("c") == "of run 3\n"
    assert len(served22.jobs_of(again.pod)) == 1


def test_a_follower_sees_the_end_of_a_run_and_not_the_next_one(served22: Serving) -> None:
    script = COUNT + f"[ $(wc -l <$DIR/runs) -ge 2 ] && exec sleep 600; {TOLD}; exit 3"
    again = served22.vk.create(request(with_folder(sh("c", script), restartPolicy="Always"))).until_running("c")
    with served22.sidecar.client.follow(again.pod, "c") as follower:
        assert follower.line() == "of run 1\n"
        go_on(served22, again.pod)
        assert follower.rest() == ""
    again.until_true(lambda: status_of(again, "c")["restartCount"] == 1, "it has been started again")


def test_a_container_that_is_always_restarted_runs_until_it_is_deleted(served24: Serving) -> None:
    always = with_folder(sh("c", COUNT), init=(sh("i", "exit 0"),), restartPolicy="Always")
    endless = served24.vk.create(request(always))
    wait_until(lambda: in_folder(served24, always, "runs").count("run") >= 2, "it has been started again")
    endless.until_true(lambda: status_of(endless, "c")["restartCount"] != 0, "the status says so")
    assert endless.exit_code("i") == 0
    endless.delete()
    served24.until_gone(always)
