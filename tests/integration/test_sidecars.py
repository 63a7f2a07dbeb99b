"""Native sidecars: init containers that stay."""

from tests.pods import request, sh
from tests.serving import Serving
from tests.shared_folder import execute, in_folder, until_in_folder, with_folder


def test_a_native_sidecar_starts_in_its_place_and_ends_last(served: Serving) -> None:
    ends = "trap 'echo side ends >>$DIR/order; exit 0' TERM"
    side = f"{ends}; echo side >>$DIR/order; touch $DIR/up; while :; do sleep 0.1; done"
    a_pod = with_folder(
        sh("main", "echo main >>$DIR/order; sleep 1; echo main ends >>$DIR/order"),
        init=(
            sh("before", "echo before >>$DIR/order"),
            sh("side", side, restartPolicy="Always"),
            sh("after", "until [ -e $DIR/up ]; do sleep 0.1; done; echo after >>$DIR/order"),
        ),
    )
    done = served.vk.create(request(a_pod)).until_over()
    assert done.phase == "Succeeded"
    assert done.status
    assert [each["name"] for each in done.status["initContainers"]] == ["before", "after"]
    served.until_jobs(a_pod, "COMPLETED")  # the end of a sidecar is no failure
    assert in_folder(served, a_pod, "order").splitlines() == [
        "before",
        "side",
        "after",
        "main",
        "main ends",
        "side ends",
    ]


def test_sidecars_end_in_reverse_order_even_if_one_does_not(served: Serving) -> None:
    ends = "trap 'echo {0} ends >>$DIR/order; exit 0' TERM; touch $DIR/{0}; while :; do sleep 0.1; done"
    deaf = "trap 'echo deaf is told >>$DIR/order' TERM; touch $DIR/deaf; while :; do sleep 0.1; done"
    sides = (("first", ends.format("first")), ("deaf", deaf), ("last", ends.format("last")))
    a_pod = with_folder(
        sh("main", "for each in first deaf last; do until [ -e $DIR/$each ]; do sleep 0.1; done; done"),
        init=tuple(sh(name, script, restartPolicy="Always") for name, script in sides),
        terminationGracePeriodSeconds=5,
    )
    assert served.vk.create(request(a_pod)).until_over().phase == "Succeeded"
    served.until_jobs(a_pod, "COMPLETED")
    assert in_folder(served, a_pod, "order").splitlines() == ["last ends", "deaf is told", "first ends"]


def test_a_startup_probe_of_a_sidecar_delays_what_follows(served24: Serving) -> None:
    """Its first run fails before it has started, which is no failure; the third look at the next one succeeds."""
    side = "echo run >>$DIR/runs; [ $(wc -l <$DIR/runs) -ge 2 ] || exit 3; exec sleep 600"
    look = "[ $(wc -l <$DIR/runs) -ge 2 ] && echo probe >>$DIR/order && [ $(wc -l <$DIR/order) -ge 3 ]"
    startup = execute(look) | {"periodSeconds": 1, "timeoutSeconds": 60, "failureThreshold": 600}
    a_pod = with_folder(
        sh("main", "echo main >>$DIR/order"),
        init=(
            sh("side", side, restartPolicy="Always", startupProbe=startup),
            sh("after", "echo after >>$DIR/order"),
        ),
    )
    assert served24.vk.create(request(a_pod)).until_over().phase == "Succeeded"
    assert in_folder(served24, a_pod, "order").split() == ["probe", "probe", "probe", "after", "main"]
    assert in_folder(served24, a_pod, "runs").split() == ["run", "run"]


def test_a_delete_stops_sidecars_after_the_containers(served22: Serving) -> None:
    ends = "trap 'sleep {1}; echo {0} >>$DIR/order; exit 0' TERM; touch $DIR/{0}; while :; do sleep 0.1; done"
    a_pod = with_folder(
        sh("main", ends.format("main", 1)), init=(sh("side", ends.format("side", 0), restartPolicy="Always"),)
    )
    deleted = served22.vk.create(request(a_pod)).until_running("main")
    for name in ("main", "side"):
        until_in_folder(served22, a_pod, name)
    deleted.delete()
    served22.until_gone(a_pod)
    assert in_folder(served22, a_pod, "order").split() == ["main", "side"]
