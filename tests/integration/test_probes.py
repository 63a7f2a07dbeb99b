"""Probes of all kinds, on pods at real sites."""

from typing import Any

import pytest

from tests.pods import Json, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.shared_folder import execute, folder_of, in_folder, until_in_folder, with_folder
from tests.sites import Site, free_port
from tests.vk import Watched

OFTEN = {"periodSeconds": 1, "timeoutSeconds": 60}


def web(port: int) -> str:
    """A web server that has no page yet. The image's busybox knows how; the node's own may not."""
    path = "[ ! -d /srv/images ] || PATH=/srv/images/busybox/bin:$PATH"
    return f"{path}; mkdir -p -m 777 $DIR/www/folder; exec busybox httpd -f -p 127.0.0.1:{port} -h $DIR/www"


def put(served: Serving, a_pod: Json, name: str) -> None:
    served.site.exec(f"umask 0; touch {folder_of(a_pod)}/{name}")


def restarts(watched: Watched) -> int:
    assert watched.status
    return int(watched.status["containers"][0]["restartCount"])


def not_ready(watched: Watched) -> str:
    waiting = watched.state("c").get("waiting", {})
    return str(waiting["message"]) if waiting.get("reason") == "NotReady" else ""


def test_readiness_follows_its_probe_both_ways(served22: Serving) -> None:
    ready = execute("[ -e $DIR/ready ] || { echo no file; exit 1; }") | OFTEN | {"failureThreshold": 1}
    a_pod = with_folder(sh("c", "exec sleep 600", readinessProbe=ready))
    probed = served22.vk.create(request(a_pod))
    probed.until_true(lambda: not_ready(probed) == "its readiness probe failed: no file", "it says why it is not ready")
    assert probed.phase == "Pending"
    put(served22, a_pod, "ready")
    probed.until_running("c")
    assert probed.phase == "Running"
    served22.site.exec(f"rm {folder_of(a_pod)}/ready")
    probed.until_true(lambda: bool(not_ready(probed)), "it waits again")


def test_http_and_tcp_probes_reach_the_container(served24: Serving) -> None:
    """By the name of its port, with a query and headers, and where it redirects them to."""
    port = free_port()
    get = {"port": "web", "path": "/folder?x=1", "httpHeaders": [{"name": "X-Probe", "value": "it's me"}]}
    a_pod = with_folder(
        sh(
            "c",
            web(port),
            ports=[{"name": "web", "containerPort": port}],
            startupProbe={"tcpSocket": {"port": port}, "failureThreshold": 60} | OFTEN,
            readinessProbe={"httpGet": get} | OFTEN,
        )
    )
    probed = served24.vk.create(request(a_pod))
    probed.until_true(lambda: "answers with status 404" in not_ready(probed), "there is no page yet")
    assert "/folder/ answers" in not_ready(probed), "without the query, which may hold a token"
    put(served24, a_pod, "www/folder/index.html")
    probed.until_running("c")


def test_https_probes_use_the_nodes_client_and_any_certificate(served24: Serving) -> None:
    port = free_port()
    subject = "req -x509 -newkey rsa:2048 -nodes -subj /CN=nobody -days 1 -keyout key.pem -out cert.pem"
    served24.site.exec(
        f"mkdir -p /tmp/tls-{port}; cd /tmp/tls-{port}; openssl {subject} 2>/dev/null; "
        f"setsid timeout 900 openssl s_server -www -accept 127.0.0.1:{port} -key key.pem -cert cert.pem "
        ">/dev/null 2>&1 </dev/null &"
    )
    probe = {"httpGet": {"port": port, "scheme": "HTTPS"}} | OFTEN
    served24.vk.create(request(pod(sh("c", "exec sleep 600", readinessProbe=probe)))).until_running("c")


def test_http_without_a_client_on_the_node_fails_the_pod_and_says_so(served22: Serving) -> None:
    probe = {"httpGet": {"port": 1, "scheme": "HTTPS"}} | OFTEN
    no = served22.vk.create(request(pod(sh("c", "exec sleep 600", livenessProbe=probe), restartPolicy="Always")))
    no.until_over()
    assert no.phase == "Failed"
    assert "has neither: ask the site to install curl" in no.terminated("c")["message"]


def test_grpc_is_asked_by_the_client_in_the_image(served24: Serving) -> None:
    """A stand-in that takes the options of the real one, and prints the request."""
    client = '#!/bin/sh\n[ "$1" = -version ] && exit; echo "$@" >/tmp/asked; [ -e /tmp/healthy ]\n'
    config_map = {"metadata": {"name": "client", "namespace": "default"}, "data": {"grpc_health_probe": client}}
    volume = {"name": "client", "configMap": {"name": "client", "defaultMode": 0o755}}
    mount = {"name": "client", "mountPath": "/usr/bin/grpc_health_probe", "subPath": "grpc_health_probe"}
    script = "until [ -s /tmp/asked ]; do sleep 0.1; done; cat /tmp/asked; touch /tmp/healthy; exec sleep 600"
    probe = {"grpc": {"port": 50051, "service": "its.service"}} | OFTEN
    a_pod = pod(sh("c", script, readinessProbe=probe, volumeMounts=[mount]), volumes=[volume])
    probed = served24.vk.create(request(a_pod, configMaps=[config_map])).until_running("c")
    assert probed.log("c").startswith("-addr=127.0.0.1:50051 -service=its.service ")


def test_grpc_without_any_client_fails_the_pod_and_says_so(served24: Serving) -> None:
    probe = {"grpc": {"port": 50051, "service": "s"}} | OFTEN
    no = served24.vk.create(request(pod(sh("c", "exec sleep 600", readinessProbe=probe), restartPolicy="Always")))
    no.until_over()
    assert no.phase == "Failed"
    assert "neither the node nor the image has" in no.terminated("c")["message"]


def test_a_failed_liveness_probe_restarts_after_pre_stop(served24: Serving) -> None:
    alive = (
        execute("[ ! -e /tmp/ill ] && [ ! -e $DIR/ill ] || { echo unwell; exit 1; }") | OFTEN | {"failureThreshold": 2}
    )
    ends = "trap 'rm $DIR/ill; echo told >>$DIR/order; exit 0' TERM"
    script = f"{ends}; echo run >>$DIR/order; while :; do sleep 0.1; done"
    hook = {"preStop": execute("echo hook >>$DIR/order")}
    a_pod = with_folder(sh("c", script, livenessProbe=alive, lifecycle=hook), restartPolicy="OnFailure")
    probed = served24.vk.create(request(a_pod)).until_running("c")
    until_in_folder(served24, a_pod, "order")
    put(served24, a_pod, "ill")
    probed.until_true(lambda: restarts(probed) == 1 and "running" in probed.state("c"), "it has been started again")
    assert probed.status
    last = probed.status["containers"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["message"]) == (143, "the liveness probe failed: unwell")
    wait_until(lambda: in_folder(served24, a_pod, "order").split() == ["run", "hook", "told", "run"], "in this order")


def test_a_probe_waits_for_its_delay_and_success_threshold(served24: Serving) -> None:
    """Told by the node's clock: how long after its container the probe began, and how often it was asked."""
    asks = (
        execute("cut -d ' ' -f 1 /proc/uptime >>$DIR/asked") | OFTEN | {"initialDelaySeconds": 4, "successThreshold": 3}
    )
    script = "cut -d ' ' -f 1 /proc/uptime >$DIR/began; exec sleep 600"
    a_pod = with_folder(sh("c", script, readinessProbe=asks))
    served24.vk.create(request(a_pod)).until_running("c")
    began = float(in_folder(served24, a_pod, "began"))
    asked = [float(each) for each in in_folder(served24, a_pod, "asked").split()]
    assert asked[0] - began > 3  # the container's own start takes a part of it
    assert len(asked) >= 3


def test_a_liveness_probe_may_have_a_grace_period_of_its_own(served24: Serving) -> None:
    """The pod's would keep it for an hour."""
    ill = execute("[ ! -e $DIR/deaf ]") | OFTEN | {"failureThreshold": 1, "terminationGracePeriodSeconds": 1}
    deaf = with_folder(
        sh("c", "trap '' TERM; touch $DIR/deaf; while :; do sleep 1; done", livenessProbe=ill),
        terminationGracePeriodSeconds=3600,
    )
    assert served24.vk.create(request(deaf)).until_over().exit_code("c") == 137


def test_a_startup_probe_gives_time_and_then_ends_the_container(served22: Serving) -> None:
    """A liveness probe that would fail at once does not begin before."""
    never = execute("exit 1") | OFTEN | {"failureThreshold": 3}
    at_once = execute("exit 1") | OFTEN | {"failureThreshold": 1}
    a_pod = pod(sh("c", "exec sleep 600", startupProbe=never, livenessProbe=at_once))
    probed = served22.vk.create(request(a_pod)).until_over()
    assert probed.phase == "Failed"
    assert probed.terminated("c")["message"] == "the startup probe failed"


def test_a_startup_probe_gives_time_to_each_run(served24: Serving) -> None:
    """The liveness probe of the second run, which is slow to start as well, waits for the startup probe again."""
    up = execute("[ -e /tmp/up ]") | OFTEN
    first = "[ $(wc -l <$DIR/runs) -ge 2 ] || { sleep 4; exit 3; }"
    script = f"echo run >>$DIR/runs; sleep 3; touch /tmp/up; {first}; exec sleep 600"
    probes = {"startupProbe": up | {"failureThreshold": 60}, "livenessProbe": up | {"failureThreshold": 1}}
    slow = with_folder(sh("c", script, **probes), restartPolicy="OnFailure")
    again = served24.vk.create(request(slow))
    again.until_true(lambda: restarts(again) >= 1 and "running" in again.state("c"), "its second run has started")
    assert again.status
    assert again.status["containers"][0]["lastState"]["terminated"]["exitCode"] == 3
    assert restarts(again) == 1


def test_probes_can_be_turned_off(site: Site, serve: Serve) -> None:
    """Each of them would end the container, or hold it back, at its first look."""
    served = serve(site, EnableProbes=False)
    kinds = ("startupProbe", "readinessProbe", "livenessProbe")
    probes = dict.fromkeys(kinds, execute("exit 1") | OFTEN | {"failureThreshold": 1})
    off = served.vk.create(request(pod(sh("c", "sleep 3", **probes))))
    assert off.until_over().phase == "Succeeded"
    for kind in kinds:
        assert f"{kind} of container 'c' has no effect: EnableProbes is false" in served.sidecar.log


@pytest.mark.parametrize(
    ("probe", "sentence"),
    [
        ({}, "livenessProbe of container 'c' must have exactly one action, and has 0"),
        ({"exec": {"command": []}}, "livenessProbe of container 'c' has no command to execute"),
        ({"httpGet": {"port": "web"}}, "invalid port 'web' of"),
        ({"tcpSocket": {"port": 1}, "successThreshold": 2}, "invalid successThreshold 2 of"),
    ],
)
def test_a_probe_that_is_none_is_refused(served24: Serving, probe: dict[str, Any], sentence: str) -> None:
    answer = served24.vk.refused(request(pod(sh("c", "true", livenessProbe=probe))))
    assert answer.status == 400
    assert sentence in answer.text
