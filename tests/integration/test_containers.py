"""What containers do, and what becomes of it: exit codes, signals, order, environment."""

from typing import Any

import pytest

from tests.hostile_values import HOSTILE
from tests.pods import literal, pod, request, sh
from tests.serving import Serving, wait_until
from tests.shared_folder import TOLD, go_on, with_folder
from tests.sleeping_containers import any_seconds, sleeping


def test_the_exit_code_comes_back(served: Serving) -> None:
    three = served.vk.create(
        request(pod(sh("c", "echo out; echo err >&2; echo again >/dev/stderr; exit 3")))
    ).until_over()
    assert three.phase == "Failed"
    assert three.exit_code("c") == 3
    assert three.terminated("c")["reason"] == "Error"
    assert three.log("c") == "out\nerr\nagain\n"
    served.until_jobs(three.pod, "FAILED")


def test_an_image_that_is_not_there_fails_the_pod_and_says_so(served24: Serving) -> None:
    none = served24.vk.create(request(pod(sh("c", "true", image="no-such-image")))).until_over()
    assert none.phase == "Failed"
    assert none.exit_code("c") != 0
    assert "could not open image /srv/images/no-such-image" in none.terminated("c")["message"]
    assert "no-such-image" in none.log("c")


def test_a_container_that_is_killed_has_its_signal(served: Serving) -> None:
    killed = served.vk.create(request(pod(sh("c", "kill -KILL $$; sleep 9")))).until_over()
    assert killed.phase == "Failed"
    assert killed.exit_code("c") == 137
    assert killed.terminated("c")["signal"] == 9


def test_containers_run_side_by_side(served: Serving) -> None:
    """Each waits for the other, through a folder that both see."""
    meet = "touch /tmp/meet-{uid}/{mine}; until [ -e /tmp/meet-{uid}/{other} ]; do sleep 0.1; done; echo {mine} met"
    a_pod = pod(sh("a", ""), sh("b", ""), volumes=[{"name": "meet", "hostPath": {"type": "DirectoryOrCreate"}}])
    uid = a_pod["metadata"]["uid"]
    a_pod["spec"]["volumes"][0]["hostPath"]["path"] = f"/tmp/meet-{uid}"
    for container, mine, other in zip(a_pod["spec"]["containers"], "ab", "ba", strict=True):
        container["args"] = [meet.format(uid=uid, mine=mine, other=other)]
        container["volumeMounts"] = [{"name": "meet", "mountPath": f"/tmp/meet-{uid}"}]
    both = served.vk.create(request(a_pod)).until_over()
    assert both.phase == "Succeeded"
    assert [both.log("a"), both.log("b")] == ["a met\n", "b met\n"]


def test_one_container_fails_while_another_one_runs(served: Serving) -> None:
    two = served.vk.create(request(with_folder(sh("bad", "exit 4"), sh("good", TOLD))))
    two.until_true(lambda: "terminated" in two.state("bad"), "the first one has ended")
    two.until_running("good")
    assert two.phase == "Running"
    go_on(served, two.pod)
    two.until_over()
    assert two.phase == "Failed"
    assert [two.exit_code("bad"), two.exit_code("good")] == [4, 0]


def test_init_containers_run_one_after_another_before_the_others(served: Serving) -> None:
    uptime = "cut -d ' ' -f 1 /proc/uptime"
    ordered = served.vk.create(
        request(
            pod(
                sh("main", uptime),
                initContainers=[sh("one", f"sleep 1; {uptime}"), sh("two", f"{uptime}; sleep 1")],
            )
        )
    ).until_over()
    assert ordered.phase == "Succeeded"
    one, two, main = (float(ordered.log(name)) for name in ("one", "two", "main"))
    assert one <= two < main


def test_a_failing_init_container_ends_the_pod_and_the_others_say_why(served: Serving) -> None:
    failing = served.vk.create(
        request(
            pod(
                sh("a", "echo never"),
                sh("b", "echo never"),
                initContainers=[sh("fine", "true"), sh("bad", "echo oh; exit 5"), sh("later", "echo never")],
            )
        )
    ).until_over()
    assert failing.phase == "Failed"
    assert [failing.exit_code(name) for name in ("fine", "bad")] == [0, 5]
    assert failing.log("bad") == "oh\n"
    for name in ("later", "a", "b"):
        assert failing.exit_code(name) != 0
        assert "bad ended with exit code 5" in failing.terminated(name)["message"]
        assert "never" not in failing.log(name)


def test_what_a_container_leaves_behind_ends_with_it(served: Serving) -> None:
    seconds = any_seconds()
    left = served.vk.create(request(pod(sh("c", f"sleep {seconds} & echo started")))).until_over()
    assert left.phase == "Succeeded"
    assert left.log("c") == "started\n"
    wait_until(lambda: not sleeping(served, seconds), "it has ended")


def test_the_values_of_variables_arrive_byte_for_byte(served: Serving) -> None:
    script = "".join(f'printf "%s\\0" "${name}"; ' for name in HOSTILE)
    env = [{"name": name, "value": value} for name, value in HOSTILE.items()]
    shown = served.vk.create(request(pod(sh("c", script, env=env)))).until_over()
    assert shown.phase == "Succeeded", shown.log("c")
    assert dict(zip(HOSTILE, shown.log("c").split("\0"), strict=False)) == HOSTILE
    assert served.site.exec("ls /tmp/pwned 2>/dev/null || true") == ""


def test_words_of_commands_arrive_byte_for_byte(served: Serving) -> None:
    command = ["/bin/sh", "-c", 'printf "%s\\0" "$@"', "sh"]
    shown = served.vk.create(
        request(
            pod(
                {
                    "name": "c",
                    "image": "busybox",
                    "command": command,
                    "args": [literal(value) for value in HOSTILE.values()],
                }
            )
        )
    ).until_over()
    assert shown.phase == "Succeeded", shown.log("c")
    assert shown.log("c").split("\0")[:-1] == [*HOSTILE.values()]


def test_a_working_directory(served: Serving) -> None:
    here = served.vk.create(request(pod(sh("c", "pwd", workingDir="/tmp")))).until_over()
    assert here.log("c") == "/tmp\n"


def test_the_image_says_what_runs_where_the_pod_does_not(served24: Serving) -> None:
    own = served24.vk.create(request(pod({"name": "c", "image": "busybox", "args": ["-c", "echo own"]}))).until_over()
    assert own.phase == "Succeeded"
    assert own.log("c") == "own\n"


@pytest.mark.parametrize("command", [None, []])
def test_without_an_image_a_pod_has_to_say_what_runs(served22: Serving, command: Any) -> None:
    answer = served22.vk.refused(request(pod({"name": "c", "image": "busybox", "command": command, "args": ["x"]})))
    assert answer.status == 400
    assert "command" in answer.text
