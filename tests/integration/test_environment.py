"""The world that a container finds: variables, the words of its command, folders that it can write."""

import re

from tests.hostile_values import ODD
from tests.pods import Json, key, pod, request, sh
from tests.serving import Serving


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


def test_the_nodes_environment_does_not_leak_in(served24: Serving) -> None:
    a_pod = pod({"name": "c", "image": "busybox", "command": ["env"], "env": env({"OWN": "1"})})
    a_pod["metadata"]["annotations"]["slurm-job.vk.io/pre-exec"] = "export LEAK=1 LD_PRELOAD= SLURM_X=2"
    shown = served24.vk.create(request(a_pod)).until_over()
    names = {line.partition("=")[0] for line in shown.log("c").splitlines()}
    assert {"OWN", "PATH", "HOME"} <= names
    assert {name for name in names if not name.startswith(("APPTAINER_", "SINGULARITY_"))} <= {
        "OWN", "PATH", "HOME", "HOSTNAME", "PWD", "SHLVL", "LANG", "TERM", "PS1", "PROMPT_COMMAND", "LD_LIBRARY_PATH",
        "USER_PATH",
    }  # fmt: skip


def test_each_container_writes_its_own_root_file_system_and_tmp(served24: Serving) -> None:
    """In memory, and nothing of it reaches the image, the node or the other container."""
    script = "echo {0} > /tmp/f; echo {0} > /etc/f; echo {0} > /new; cat /tmp/f /etc/f /new; ls /tmp"
    a_pod = pod(sh("a", script.format("a")), sh("b", f"sleep 1; {script.format('b')}"))
    both = served24.vk.create(request(a_pod)).until_over()
    assert [both.log("a"), both.log("b")] == ["a\na\na\nf\n", "b\nb\nb\nf\n"]
    assert served24.site.exec("ls /srv/images/busybox/new /srv/images/busybox/etc/f 2>/dev/null || true") == ""


def test_words_of_commands_are_expanded_as_kubernetes_does(served: Serving) -> None:
    words = ["$(A) $(ABSENT)", "$$(A)", "$$", "", "$(A)$(B)"]
    command = ["/bin/sh", "-c", 'for each; do echo "<$each>"; done', "sh"]
    container = {
        "name": "c",
        "image": "busybox",
        "command": command,
        "args": [*words, "a\r\nb"],  # sbatch refuses a script with line breaks of DOS
        "env": env({"A": "one two", "B": "$(A)"}),
    }
    shown = served.vk.create(request(pod(container))).until_over()
    stored = served.site.exec(f"cat '{served.root}/{key(shown.pod)}/job.sh'")
    assert "\ncontainer c" in stored
    assert "one two" not in stored, "the values of variables are not in the script, which Slurm archives"
    assert shown.log("c") == "<one two $(ABSENT)>\n<$(A)>\n<$>\n<>\n<one twoone two>\n<a\r\nb>\n"


def test_a_container_knows_which_gpus_are_its_jobs(served24: Serving) -> None:
    """Slurm's words for them, one for each vendor, are all of the job's environment that gets through."""
    limits = {"limits": {"nvidia.com/gpu": "2", "memory": "50Mi"}}
    shown = served24.vk.create(request(pod(sh("c", "env", resources=limits)))).until_over()
    reported = sorted(line for line in shown.log("c").splitlines() if "DEVICES" in line or "SLURM" in line)
    assert [name for name, _, which in (each.partition("=") for each in reported) if re.fullmatch(r"\d,\d", which)] == [
        "CUDA_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
    ]
    assert len(reported) == 2
