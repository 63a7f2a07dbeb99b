"""The world that a container finds: variables, the words of its command, folders that it can write."""

from hostile import ODD
from pods import Json, pod, request
from serving import Serving


def env(values: Json) -> list[Json]:
    return [{"name": name, "value": value} for name, value in values.items()]


def test_variables_that_no_shell_can_hold_arrive_all_the_same(served: Serving) -> None:
    script = ["cat", "/proc/self/environ"]
    shown = served.vk.create(
        request(pod({"name": "c", "image": "busybox", "command": script, "env": env(ODD | {"PLAIN": "yes"})}))
    ).until_over()
    assert shown.phase == "Succeeded", shown.log("c")
    found = dict(entry.partition("=")[::2] for entry in shown.log("c").split("\0") if entry)
    assert {name: found.get(name) for name in ODD} == ODD
    assert found["PLAIN"] == "yes"
