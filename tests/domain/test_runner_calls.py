"""The runner's calls for a container before its start, and which probes and hooks are rejected."""

from typing import Any

import pytest

from remote_slurm.domain.shell import Element
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import UID, container, flag_lines, plan, pod

ON = {"EnableProbes": True}
NONE = {**ON, "ContainerRuntime": "none"}
EXEC = {"exec": {"command": ["check", "$(NAME)", "$(OTHER)", "it's"]}}
ENV = [{"name": "NAME", "value": "a  value"}]


def reported(fields: dict[str, Any], settings: dict[str, Any] | None = None, **spec: Any) -> list[tuple[Any, ...]]:
    """The calls before container `main`, without the one for its message."""
    planned = plan(pod(container("main", **fields), **spec), settings=settings or NONE)
    return [call for call in planned.containers[-1].calls if call[0] != "termination_message"]


# --- probes ----------------------------------------------------------------------------------------------------------

HIDDEN = Element("hidden", 0), Element("hidden", 1)
EXEC_MODE = ("exec_mode", "clone", "on_node", "secret/env-main", "")


NAMES = ("delay", "period", "timeout", "successes", "failures", "grace")


@pytest.mark.parametrize(
    ("probe", "call"),
    [
        (EXEC, ("0", "10", "1", "1", "3", "", "exec_in_container", "check", HIDDEN[0], "$(OTHER)", "it's")),
        ({"tcpSocket": {"port": 80}, "initialDelaySeconds": 5, "periodSeconds": 2, "timeoutSeconds": 3,
          "failureThreshold": 7, "terminationGracePeriodSeconds": 9},
         ("5", "2", "3", "1", "7", "9", "tcp_socket", "127.0.0.1", "80")),
        ({"tcpSocket": {"port": "web", "host": "other.example.org"}},
         ("0", "10", "1", "1", "3", "", "tcp_socket", "other.example.org", "8080")),
        ({"httpGet": {"port": 80}}, ("0", "10", "1", "1", "3", "", "http_get", "http", "127.0.0.1", "80", "/")),
        ({"httpGet": {"port": "web", "path": "a b?x=ü#part", "httpHeaders": [{"name": "A", "value": "it's: b"}]}},
         ("0", "10", "1", "1", "3", "", "http_get", "http", "127.0.0.1", "8080", HIDDEN[0], HIDDEN[1])),
        ({"httpGet": {"port": 80, "path": "/a%20b"}},
         ("0", "10", "1", "1", "3", "", "http_get", "http", "127.0.0.1", "80", "/a%20b")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["startup", "readiness", "liveness"])
def test_a_probe_is_one_call(kind: str, probe: dict[str, Any], call: tuple[str, ...]) -> None:
    fields = {f"{kind}Probe": probe, "env": ENV, "ports": [{"name": "web", "containerPort": 8080}]}
    assert reported(fields) == [
        EXEC_MODE,
        ("probe", kind, *map("=".join, zip(NAMES, call[:6], strict=True)), *call[6:]),
    ]


HOOK_ONLY = {"sleep": {"seconds": 1}}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"livenessProbe": {}}, "livenessProbe of container 'main' must have exactly one action, and has 0"),
        ({"livenessProbe": EXEC | {"tcpSocket": {"port": 1}}}, "must have exactly one action, and has 2"),
        ({"livenessProbe": {"exec": {}}}, "has no command to execute"),
        ({"livenessProbe": HOOK_ONLY}, "must be exec, httpGet, tcpSocket or grpc"),
        ({"startupProbe": EXEC | {"successThreshold": 2}}, "invalid successThreshold 2 of startupProbe"),
        ({"livenessProbe": EXEC | {"successThreshold": 2}}, "invalid successThreshold 2 of livenessProbe"),
        ({"livenessProbe": EXEC | {"terminationGracePeriodSeconds": 0}}, "livenessProbe.terminationGracePeriodSeconds"),
        ({"readinessProbe": {"tcpSocket": {"port": "no"}}}, "invalid port 'no' of"),
        ({"readinessProbe": {"tcpSocket": {"port": 0}}}, "readinessProbe.tcpSocket.port"),
        ({"readinessProbe": {"tcpSocket": {"port": 1, "host": "a b"}}}, "invalid host 'a b' of"),
        ({"readinessProbe": {"httpGet": {"port": 1, "httpHeaders": [{"name": "A B"}]}}}, "invalid HTTP header"),
        ({"readinessProbe": {"httpGet": {"port": 1, "httpHeaders": [{"name": "A", "value": "x\r\nB: y"}]}}},
         "invalid HTTP header 'A' of"),
        ({"readinessProbe": {"httpGet": {"port": 1, "scheme": "FTP"}}}, "readinessProbe.httpGet.scheme"),
        ({"readinessProbe": EXEC | {"periodSeconds": 0}}, "readinessProbe.periodSeconds"),
        ({"lifecycle": {"preStop": {"tcpSocket": {"port": 1}}}}, "preStop of container 'main' must be exec, httpGet"),
        ({"lifecycle": {"postStart": {}}}, "postStart of container 'main' must have exactly one action, and has 0"),
        ({"lifecycle": {"stopSignal": "TERM; id"}}, "lifecycle.stopSignal"),
        ({"lifecycle": {"stopSignal": "SIGTERM; id"}}, "lifecycle.stopSignal"),
        ({"restartPolicyRules": [{"action": "Restart"}]}, "must be Restart, by exitCodes"),
        ({"restartPolicyRules": [{"action": "RestartAllContainers"}]}, "must be Restart, by exitCodes"),
        ({"terminationMessagePath": "message"}, "'message' must be an absolute path"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        reported(fields)
    assert sentence in str(refused.value)


def test_probes_that_are_turned_off_are_warned_of() -> None:
    planned = plan(pod(container("main", livenessProbe=EXEC)))
    assert not [call for call in planned.containers[0].calls if call[0] in ("probe", "exec_mode")]
    (warning,) = [each for each in planned.warnings if "Probe" in each]
    assert warning == (
        "livenessProbe of container 'main' has no effect: EnableProbes is false in the sidecar's configuration"
    )


# --- hooks -----------------------------------------------------------------------------------------------------------


def test_hooks_are_calls_and_their_words_are_not_expanded() -> None:
    hooks = {"postStart": EXEC, "preStop": {"sleep": {"seconds": 5}}, "stopSignal": "SIGUSR1"}
    assert reported({"lifecycle": hooks, "env": ENV}) == [
        EXEC_MODE,
        ("stop_signal", "USR1"),
        ("post_start", "exec_in_container", "check", "$(NAME)", "$(OTHER)", "it's"),
        ("pre_stop", "sleep", "5"),
    ]


def test_a_pod_with_a_pre_stop_is_signalled_ahead_of_its_time_limit() -> None:
    hooked = container("main", lifecycle={"preStop": HOOK_ONLY})
    assert "--signal=B:TERM@45" in flag_lines(pod(hooked))
    assert not [line for line in flag_lines(pod(container("main"))) if "signal" in line]
    assert "--signal=B:TERM@65535" in flag_lines(pod(hooked, terminationGracePeriodSeconds=100_000)), (
        "Slurm takes no more"
    )
    own = pod(hooked, annotations={"slurm-job.vk.io/flags": "--signal=B:USR1@60"})
    assert [line for line in flag_lines(own) if "signal" in line] == ["--signal=B:USR1@60"]


def test_a_time_limit_that_is_hardly_longer_than_the_notice_is_warned_of() -> None:
    hooked = container("main", lifecycle={"preStop": HOOK_ONLY})
    short, long = (plan(pod(hooked, annotations={"slurm-job.vk.io/flags": f"-t {minutes}"})) for minutes in (1, 10))
    assert [
        each for each in short.warnings if each.startswith("the time limit is 60 s, and Slurm signals the job 45 s")
    ]
    assert not [each for each in long.warnings if "Slurm signals" in each]


def test_a_pod_with_a_deadline_is_stopped_by_that() -> None:
    """Slurm's time limit would signal it far too early."""
    hooked = container("main", lifecycle={"preStop": HOOK_ONLY})
    assert not [line for line in flag_lines(pod(hooked, activeDeadlineSeconds=90)) if "signal" in line]
    same = pod(hooked, activeDeadlineSeconds=600, annotations={"slurm-job.vk.io/flags": "-t 10"})
    assert not [line for line in flag_lines(same) if "signal" in line]
    shorter = pod(hooked, activeDeadlineSeconds=6000, annotations={"slurm-job.vk.io/flags": "-t 10"})
    assert "--signal=B:TERM@45" in flag_lines(shorter)


# --- commands in a container -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        ("none", ("clone", "on_node", "secret/env-main", "")),
        ("podman", ("runtime", "podman", "exec", "--env", "REMOTE_SLURM_ACTION", "main")),
        ("podman-hpc", ("runtime", "podman-hpc", "exec", "--env", "REMOTE_SLURM_ACTION", f"default-{UID}.main")),
    ],
)
def test_how_a_command_gets_in(runtime: str, words: tuple[str, ...]) -> None:
    calls = reported({"image": "r.org/a:1", "lifecycle": {"preStop": EXEC}}, {"ContainerRuntime": runtime})
    assert ("exec_mode", *words) in calls


def test_singularity_joins_or_starts_another_container_by_the_same_words() -> None:
    image = {"image": "/images/own.sif", "command": None, "args": ["x"]}
    calls = reported({**image, "lifecycle": {"preStop": EXEC}}, {"ContainerRuntime": "apptainer"})
    _, way, *words = next(call for call in calls if call[0] == "exec_mode")
    assert way == "nsenter"
    assert words[:3] == ["apptainer", "--silent", "exec"], "not `run`, though the container has no command"
    assert words[-1] == "/images/own.sif"
    assert "--workdir" in words


@pytest.mark.parametrize("inside", [EXEC, {"grpc": {"port": 1}}])
def test_where_mpi_makes_it_many_containers_it_is_refused(inside: dict[str, Any]) -> None:
    """Also where the image may have to help."""
    several = {"annotations": {"slurm-job.vk.io/mpi-flags": "true"}}
    with pytest.raises(InvalidRequest, match="does not support with mpi-flags"):
        reported({"readinessProbe": inside}, ON | {"ContainerRuntime": "podman"}, **several)


@pytest.mark.parametrize("fields", [
    {"lifecycle": {"postStart": HOOK_ONLY}},
    {"lifecycle": {"postStart": {"httpGet": {"port": 1}}}},
    {"startupProbe": {"tcpSocket": {"port": 1}}},
])  # fmt: skip
def test_probes_and_hooks_get_the_mode_that_detects_the_start(fields: dict[str, Any]) -> None:
    assert [call[1] for call in reported(fields, ON | {"ContainerRuntime": "apptainer"}) if call[0] == "exec_mode"] == [
        "nsenter"
    ]
    assert not [call for call in reported({"lifecycle": {"preStop": HOOK_ONLY}}) if call[0] == "exec_mode"]


# --- restarts, sidecars and messages ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_pod", "of_container", "calls"),
    [
        ("Never", {}, []),
        ("OnFailure", {}, [("restart_policy", "OnFailure")]),
        ("Always", {"restartPolicy": "Never"}, []),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules":
                   [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42, 43]}}]},
         [("restart_rule", "In", "42", "43")]),
    ],
)  # fmt: skip
def test_the_restart_policy(of_pod: str, of_container: dict[str, Any], calls: list[tuple[str, ...]]) -> None:
    assert reported(of_container, restartPolicy=of_pod) == calls


def test_a_native_sidecar_is_started_as_one() -> None:
    planned = plan(pod(initContainers=[container("first"), container("side", restartPolicy="Always")]))
    assert [each.verb for each in planned.containers] == ["init_container", "sidecar_container", "container"]
    assert ("restart_policy", "Always") in planned.containers[1].calls
    main = plan(pod(container("main", restartPolicy="Always"))).containers[0]
    assert main.verb == "container", "only an init container is one"


@pytest.mark.parametrize(
    ("runtime", "path", "file"),
    [
        ("apptainer", "/dev/termination-log", "messages/main"),
        ("podman", "/dev/termination-log", "messages/main"),
        ("enroot", "/dev/termination-log", "-"),
        ("enroot", "/tmp/message", "messages/main"),
        ("none", "/dev/termination-log", "-"),
        ("none", "/tmp/message", "/tmp/message"),
    ],
)
def test_where_the_message_is_read(runtime: str, path: str, file: str) -> None:
    fields = {"terminationMessagePath": path, "terminationMessagePolicy": "FallbackToLogsOnError"}
    planned = plan(pod(container("main", **fields)), settings={"ContainerRuntime": runtime})
    assert ("termination_message", file, "FallbackToLogsOnError") in planned.containers[0].calls
    links = [each.path for each in planned.files if each.path.startswith("messages/")]
    assert links == (["messages/links/main.sh"] if runtime == "apptainer" else [])


@pytest.mark.parametrize(
    ("runtime", "there", "gone"),
    [
        ("apptainer", ["--no-mount", "tmp,home"], ["--writable-tmpfs", "--workdir"]),
        ("podman", ["--read-only", "--read-only-tmpfs=false"], []),
        ("enroot", [], ["--rw"]),
    ],
)
def test_a_read_only_root_file_system(runtime: str, there: list[str], gone: list[str]) -> None:
    for wanted in (True, False):
        body = pod(container("main", securityContext={"readOnlyRootFilesystem": wanted}))
        planned = plan(body, settings={"ContainerRuntime": runtime})
        words = [word for line in planned.containers[-1].lines for word in line]
        assert all((word in words) is wanted for word in there)
        assert all((word in words) is not wanted for word in gone)
        assert not planned.warnings


def test_a_read_only_root_file_system_without_a_runtime_is_a_warning() -> None:
    body = pod(container("main", securityContext={"readOnlyRootFilesystem": True}))
    (warning,) = plan(body, settings=NONE).warnings
    assert "readOnlyRootFilesystem of container 'main' has no effect" in warning
