"""postStart and preStop, in the world of the running container, whatever ends it."""

from typing import Any

import pytest

from tests.pods import Json, key, pod, request, sh
from tests.serving import Serving
from tests.shared_folder import execute, in_folder, until_in_folder, with_folder
from tests.sites import free_port

# A container that records its SIGTERM, and prints the file that a hook has left in its /tmp
ENDS = "trap 'echo told >>$DIR/order; exit 0' TERM; while :; do sleep 0.1; done"
# Only in the world of the container: its /tmp, its variables, and what it has written elsewhere
LOOK = "cat /tmp/mine >>$DIR/order; echo hook of $WHO >>$DIR/order"


HEADER = {"name": "X-Hook", "value": "the hook"}
OFTEN = {"periodSeconds": 1, "timeoutSeconds": 60}


def asked_by_http(port: int, page: str, then: str = "exec sleep 600") -> Json:
    """A container whose web server notes which hook has asked for the page /cgi-bin/`page`."""
    note = "#!/bin/sh\\necho asked by $HTTP_X_HOOK >>$DIR/order; echo; echo fine\\n"
    serves = (
        f"mkdir -p /tmp/www/cgi-bin; cd /tmp/www/cgi-bin; printf '{note}' >{page}; chmod 755 {page}; "
        f"PATH=/srv/images/busybox/bin:$PATH busybox httpd -p 127.0.0.1:{port} -h /tmp/www"
    )
    return sh("web", f"{serves}; {then}")


def hooked(script: str, lifecycle: Json, **spec: Any) -> Json:
    env = [{"name": "WHO", "value": "it's me"}]
    return with_folder(sh("c", script, env=env, lifecycle=lifecycle), **spec)


def test_post_start_runs_in_the_container_and_ends_it_on_failure(served: Serving) -> None:
    leave = execute("until [ -e $DIR/go ]; do sleep 0.1; done; echo by $WHO >$HOOKED")
    script = "touch $DIR/go; until [ -s $HOOKED ]; do sleep 0.1; done; cat $HOOKED"
    fine, bad = hooked(script, {"postStart": leave}), hooked("sleep 600", {"postStart": execute("echo oh; exit 3")})
    place = {"name": "HOOKED", "value": f"/tmp/hooked-{fine['metadata']['uid']}"}
    fine["spec"]["containers"][0]["env"].append(place)
    left, failed = (served.vk.create(request(each)) for each in (fine, bad))
    assert left.until_over().phase == "Succeeded"
    assert left.log("c") == "by it's me\n"
    assert failed.until_over().phase == "Failed"
    assert failed.terminated("c")["message"] == "the postStart hook failed: oh"


def test_the_next_container_starts_once_a_post_start_is_over(served24: Serving) -> None:
    """As on a kubelet, where pods let all others wait so for a proxy, without a native sidecar."""
    hook = execute("echo begins >>$DIR/order; sleep 1; echo over >>$DIR/order")
    proxy = sh("proxy", "until [ -e $DIR/done ]; do sleep 0.1; done", lifecycle={"postStart": hook})
    after = with_folder(proxy, sh("after", "echo after >>$DIR/order; touch $DIR/done"))
    assert served24.vk.create(request(after)).until_over().phase == "Succeeded"
    assert in_folder(served24, after, "order").split() == ["begins", "over", "after"]


def test_post_start_may_sleep(served22: Serving) -> None:
    """As long as it does its container is Waiting, and the next one has not started."""
    runs = "touch $DIR/up; until [ -e $DIR/after ]; do sleep 0.1; done"
    short, long = (
        with_folder(
            sh("c", runs, lifecycle={"postStart": {"sleep": {"seconds": seconds}}}), sh("after", "touch $DIR/after")
        )
        for seconds in (1, 600)
    )
    over, sleeping = (served22.vk.create(request(each)) for each in (short, long))
    assert over.until_over().phase == "Succeeded"
    until_in_folder(served22, long, "up")
    hooked = {"reason": "NotReady", "message": "its postStart hook is running"}
    sleeping.until_true(lambda: sleeping.state("c").get("waiting") == hooked, "it waits for its hook")
    assert in_folder(served22, long, "after") == ""
    assert sleeping.state("after")["waiting"]["reason"] == "PodInitializing"
    sleeping.delete()
    served22.until_gone(long)


def test_post_start_by_http_fails_the_container_on_an_error(served24: Serving) -> None:
    """A native sidecar answers, which has started when its startup probe says so: a hook asks only once."""
    port = free_port()
    web = asked_by_http(port, "hook")
    web |= {"restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": port}, "failureThreshold": 600} | OFTEN}
    good, bad = ({"port": port, "path": path, "httpHeaders": [HEADER]} for path in ("/cgi-bin/hook", "/missing"))
    a_pod = with_folder(
        sh("good", "until [ -e $DIR/order ]; do sleep 0.1; done", lifecycle={"postStart": {"httpGet": good}}),
        sh("bad", "exec sleep 600", lifecycle={"postStart": {"httpGet": bad}}),
        init=(web,),
    )
    hooked = served24.vk.create(request(a_pod)).until_over()
    assert hooked.exit_code("good") == 0
    assert in_folder(served24, a_pod, "order") == "asked by the hook\n"
    assert hooked.exit_code("bad") == 143
    said = f"the postStart hook failed: http://127.0.0.1:{port}/missing answers with status 404"
    assert hooked.terminated("bad")["message"] == said


def test_a_hook_joins_the_container_that_runs(served24: Serving) -> None:
    """Its processes, and what it has written to the root of its file system."""
    end = execute("until [ -s /mine ]; do sleep 0.1; done; echo by the hook >/theirs; kill -USR1 $(cat /mine)")
    script = "trap 'cat /theirs; exit 4' USR1; echo $$ >/mine; while :; do sleep 0.1; done"
    joined = served24.vk.create(request(hooked(script, {"postStart": end}))).until_over()
    assert joined.exit_code("c") == 4
    assert joined.log("c") == "by the hook\n"


@pytest.mark.parametrize("folder", ["/usr", "/work"])
def test_hooks_and_probes_join_a_sif_in_its_own_user_namespace(served24: Serving, folder: str) -> None:
    """Whatever is pulled from a registry is one. Its processes, files and working directory are seen."""
    look = "[ -e /tmp/mine ] && ps | grep -q 'marke[r]' && pwd >/work/pwd"
    container = sh(
        "c",
        "touch /tmp/mine; sleep 1; sh -c 'sleep 600; :' marker & wait",
        image="busybox.sif",
        workingDir=folder,
        readinessProbe=execute(look) | {"periodSeconds": 1, "timeoutSeconds": 60},
        volumeMounts=[{"name": "work", "mountPath": "/work"}],
    )
    ready = served24.vk.create(request(pod(container, volumes=[{"name": "work", "emptyDir": {}}])))
    ready.until_running("c")
    assert served24.site.exec(f"cat {served24.root}/{key(ready.pod)}/volumes/work/pwd") == f"{folder}\n"
    ready.delete()


def test_pre_stop_comes_before_the_signal_when_a_pod_is_deleted(served: Serving) -> None:
    own = {"name": "MINE", "value": "/tmp/mine"}
    a_pod = hooked(
        f"echo left by $WHO >$MINE; touch $DIR/up; {ENDS}", {"preStop": execute(LOOK.replace("/tmp/mine", "$MINE"))}
    )
    own["value"] = f"/tmp/mine-{a_pod['metadata']['uid']}"
    a_pod["spec"]["containers"][0]["env"].append(own)
    deleted = served.vk.create(request(a_pod)).until_running("c")
    until_in_folder(served, a_pod, "up")
    deleted.delete()
    served.until_gone(a_pod)
    assert in_folder(served, a_pod, "order").splitlines() == ["left by it's me", "hook of it's me", "told"]


def test_pre_stop_may_ask_the_container_by_http(served24: Serving) -> None:
    """Its own web server, which runs what it is asked for."""
    port = free_port()
    web = asked_by_http(port, "stop", "touch $DIR/up; " + ENDS)
    ask = {"port": port, "path": "/cgi-bin/stop", "httpHeaders": [HEADER]}
    a_pod = with_folder(web | {"name": "c", "lifecycle": {"preStop": {"httpGet": ask}}})
    deleted = served24.vk.create(request(a_pod)).until_running("c")
    until_in_folder(served24, a_pod, "up")
    deleted.delete()
    served24.until_gone(a_pod)
    assert in_folder(served24, a_pod, "order").splitlines() == ["asked by the hook", "told"]


def test_pre_stop_may_sleep_and_has_the_grace_period_for_it(served22: Serving) -> None:
    a_pod = hooked(f"touch $DIR/up; {ENDS}", {"preStop": {"sleep": {"seconds": 300}}}, terminationGracePeriodSeconds=4)
    slow = served22.vk.create(request(a_pod)).until_running("c")
    until_in_folder(served22, a_pod, "up")
    slow.delete()
    served22.until_gone(a_pod)
    assert in_folder(served22, a_pod, "order").split() == ["told"]
