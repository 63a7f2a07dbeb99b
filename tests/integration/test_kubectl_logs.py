"""What `kubectl logs` can ask for, on logs that a real container writes."""

from datetime import UTC, datetime, timedelta

from tests.pods import key, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.shared_folder import TOLD, go_on, with_folder
from tests.sites import Site

SLOWLY = f"for i in 1 2 3 4 5 6; do echo line $i; sleep 1; [ $i != 2 ] || {TOLD}; done"


def test_times_since_and_one_reader_for_all_followers(served: Serving) -> None:
    slow = served.vk.create(request(with_folder(sh("c", SLOWLY)))).until_running("c")
    client = served.sidecar.client
    with client.follow(slow.pod, "c") as one, client.follow(slow.pod, "c", Tail=1) as two:
        readers = f"pgrep -c -u hpcuser -f 'tail .* --pid=.*{key(slow.pod)}/logs/c.log' || true"
        wait_until(lambda: served.site.exec(readers) == "1\n", "one reader is there for both")
        go_on(served, slow.pod)
        whole, last = one.rest(), two.rest()
    slow.until_over()
    text = "".join(f"line {i}\n" for i in range(1, 7))
    assert whole == text
    assert text.endswith(last)
    assert last.endswith("line 6\n")

    stamped = client.logs(slow.pod, "c", Timestamps=True).text.splitlines()
    assert [line.partition(" ")[2] for line in stamped] == text.splitlines()
    times = [datetime.fromisoformat(line.partition(" ")[0]) for line in stamped]
    assert times == sorted(times)
    assert times[-1] - times[0] >= timedelta(seconds=3)
    # a note is up to a second late
    started = datetime.fromisoformat(slow.terminated("c")["startedAt"])
    assert all(started <= each <= datetime.now(UTC) + timedelta(seconds=2) for each in times)

    since = client.logs(slow.pod, "c", SinceTime=times[3].isoformat()).text
    assert text.endswith(since)
    assert "line 5\n" in since
    assert "line 2\n" not in since
    assert client.logs(slow.pod, "c", SinceSeconds=86400).text == text
    assert client.logs(slow.pod, "c", Tail=2, Bytes=3).text == "lin"


def test_a_container_that_has_not_started_has_no_log_yet(served: Serving) -> None:
    later = served.vk.create(request(pod(sh("c", "true"), flags="--begin=now+1hour")))
    answer = served.sidecar.client.logs(later.pod, "c", Follow=True)
    assert answer.status == 400
    assert "container 'c' is waiting to start" in answer.text
    before = served.sidecar.client.logs(later.pod, "c", Previous=True)
    assert before.status == 400
    assert "no previous log" in before.text
    later.delete()


def test_a_pod_whose_containers_never_started_shows_why(served: Serving) -> None:
    a_pod = pod(
        sh("c", "true", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        volumes=[{"name": "v", "hostPath": {"path": "/no/such/folder", "type": "Directory"}}],
    )
    failed = served.vk.create(request(a_pod)).until_over()
    assert failed.phase == "Failed"
    assert "/no/such/folder" in failed.terminated("c")["message"]
    assert "/no/such/folder" in failed.log("c")


def test_a_log_that_grows_too_long_begins_anew_and_says_so(site: Site, serve: Serve) -> None:
    served = serve(site, MaxLogSize="1Ki")
    runaway = served.vk.create(request(with_folder(sh("c", f"seq 1000; {TOLD}; echo the end")))).until_running("c")
    wait_until(lambda: "passed MaxLogSize" in runaway.log("c"), "its log begins anew")
    go_on(served, runaway.pod)
    runaway.until_over()
    assert runaway.phase == "Succeeded"
    log = runaway.log("c")
    assert "passed MaxLogSize" in log
    assert log.endswith("the end\n")
    assert len(log) < 1024
    assert key(runaway.pod)
