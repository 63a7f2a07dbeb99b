"""What the keys of SlurmConfig.yaml do, shown on the running program."""

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests import forked_program
from tests.pods import Json, pod, request, sh
from tests.serving import Serve, wait_until
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM, Client
from tests.sites import Site
from tests.vk import assert_sentence

CONFIG_MAP = {"metadata": {"name": "cm"}, "data": {"key": "value"}}


def with_volume(source: Json) -> Json:
    container = sh("c", "true", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    return request(pod(container, volumes=[{"name": "v", **source}]), configMaps=[CONFIG_MAP])


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_an_account_with_another_shell_and_a_noisy_profile(each_site: Site, serve: Serve, user: str) -> None:
    """alice has tcsh, a banner and SQUEUE_FORMAT in her profile; bob has a banner."""
    served = serve(each_site, SSH={"User": user}, DataRootFolder=f"/home/{user}/.interlink/{uuid.uuid4()}")
    noisy = served.vk.create(request(pod(sh("c", "id -un; echo out; exit 3")))).until_over()
    assert noisy.phase == "Failed"
    assert noisy.exit_code("c") == 3
    assert noisy.log("c").endswith("out\n")
    assert f"{noisy.job} {user}" in each_site.exec("squeue --all --states=all -h -o '%A %u'")
    noisy.delete()
    served.until_gone(noisy.pod)


def test_a_request_larger_than_max_request_size(site: Site, serve: Serve) -> None:
    served = serve(site, MaxRequestSize="100Ki")
    large = pod(sh("c", "true", env=[{"name": "LARGE", "value": "x" * 200_000}]))
    answer = served.vk.refused(request(large))
    assert answer.status == 413
    assert "MaxRequestSize" in answer.text
    assert served.vk.create(request(pod(sh("c", "true")))).until_over().phase == "Succeeded"


def test_pods_of_another_namespace_and_pods_with_data_are_refused(site: Site, serve: Serve) -> None:
    served = serve(site, Namespace="ours", ExportPodData=False)
    other = served.vk.refused(request(pod(sh("c", "true"))))
    assert other.status == 400
    assert "namespace 'ours'" in other.text
    for source, name in (({"configMap": {"name": "cm"}}, "'cm'"), ({"secret": {"secretName": "s"}}, "'s'")):
        body = with_volume(source)
        body["pod"]["metadata"]["namespace"] = "ours"
        refused = served.vk.refused(body)
        assert refused.status == 400
        assert name in refused.text
        assert "ExportPodData" in refused.text
    plain = request(pod(sh("c", "true")))
    plain["pod"]["metadata"]["namespace"] = "ours"
    assert served.vk.create(plain).until_over().phase == "Succeeded"


def test_a_unix_socket(site: Site, serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "plugin.sock"
    served = serve(site, Socket=f"unix://{path}")
    assert served.sidecar.url == f"unix://{path}"
    assert path.stat().st_mode & 0o777 == 0o600
    hello = served.vk.create(request(pod(sh("c", "echo hello")))).until_over()
    assert hello.log("c") == "hello\n"

    served.sidecar.kill()
    assert path.exists()
    assert serve(site, Socket=f"unix://{path}").client.ping()["status"] == "ok"


def test_the_ping_says_what_the_configuration_says(site: Site, serve: Serve) -> None:
    served = serve(
        site,
        Resources={"cpu": 7, "pods": 11, "accelerators": [{"resourceType": "amd.com/gpu", "available": 2}]},
        Taints=[{"key": "slow", "value": "yes", "effect": "NoSchedule"}],
    )
    wait_until(lambda: served.client.ping()["resources"]["pods"] != "0", "the ping has totals")
    ping = served.client.ping()
    assert ping["taints"] == [{"key": "slow", "value": "yes", "effect": "NoSchedule"}]
    assert ping["resources"]["cpu"] == "7"
    assert ping["resources"]["pods"] == "11"
    assert ping["resources"]["memory"].endswith("Mi")
    assert ping["resources"]["accelerators"] == [{"resourceType": "amd.com/gpu", "available": "2"}]


def script_that_prints(site: Site, text: str) -> str:
    """The path of a script at the site."""
    path = f"/tmp/resources-{uuid.uuid4()}"
    site.exec(f"printf '%s\\n' '#!/bin/sh' 'cat <<\"END\"' '{text}' END > {path}; chmod 755 {path}")
    return path


def test_a_script_at_the_site_answers_the_ping(site: Site, serve: Serve) -> None:
    served = serve(site, ResourceScriptPath=script_that_prints(site, '{"cpu": 3, "memory": "5Gi", "pods": "2"}'))
    wait_until(lambda: served.client.ping()["resources"]["pods"] != "0", "the script has answered")
    assert served.client.ping() == {"status": "ok", "resources": {"cpu": "3", "memory": "5Gi", "pods": "2"}}


def test_a_script_that_answers_something_else_does_not_take_the_node_away(site: Site, serve: Serve) -> None:
    served = serve(site, ResourceScriptPath=script_that_prints(site, '{"resources": 3}'))
    wait_until(
        lambda: 'WARNING cannot read the capacity of the site reason="ResourceScriptPath' in served.sidecar.log,
        "it is said",
    )
    assert served.client.ping() == {"status": "ok", "resources": {"pods": "0"}}


def test_command_prefix_comes_before_everything_of_ours(each_site: Site, serve: Serve) -> None:
    served = serve(each_site, CommandPrefix="export APPTAINERENV_FROM_PREFIX=yes FROM_PREFIX=yes\ncd /tmp\n")
    prefixed = served.vk.create(request(pod(sh("c", "echo $FROM_PREFIX")))).until_over()
    assert prefixed.log("c") == "yes\n"


def test_keys_for_the_words_in_front(site: Site, serve: Serve) -> None:
    served = serve(
        site,
        SingularityPath="/usr/bin/apptainer",
        SingularityPrefix="env APPTAINERENV_PREFIXED=yes",
        SingularityDefaultOptions=["--env", "DEFAULTED=yes"],
        ImagePrefix="/srv/images/",
    )
    shown = served.vk.create(request(pod(sh("c", "echo $PREFIXED $DEFAULTED", image="busybox.sif")))).until_over()
    assert shown.log("c").endswith("yes yes\n")
    assert shown.phase == "Succeeded"


def test_defaults_for_pods_that_ask_for_nothing(site: Site, serve: Serve) -> None:
    served = serve(site, DefaultCPU=3, DefaultMemory="64Mi")
    a_pod = pod(sh("c", "true"))
    a_pod["metadata"]["annotations"] = {}
    default = served.vk.create(request(a_pod))
    shown = site.exec(f"squeue -j {default.job} --states=all -h -o '%C %m'")
    assert shown in ("3 64M\n", "4 64M\n")  # whole cores
    assert default.until_over().phase == "Succeeded"
    assert "DefaultMemory" in served.sidecar.log


def run_serve(config: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return forked_program.run(["serve", "--config", str(config)], "", ENVIRONMENT | environment, PATIENCE)


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"BindAddress": "0.0.0.0"}, "AllowUnauthenticated"),  # noqa: S104 - it has to be refused
        ({"SideCarPort": 4000}, "SidecarPort"),
        ({"SSH": {"Port": "ssh"}}, "SSH.Port"),
    ],
)
def test_a_configuration_that_cannot_be_ends_the_program_with_a_sentence(
    site: Site, tmp_path: Path, keys: Json, word: str
) -> None:
    ended = run_serve(site.config(tmp_path, **keys))
    assert ended.returncode == 1
    assert word in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_ends_the_program_with_a_sentence(site: Site, serve: Serve, tmp_path: Path) -> None:
    taken = serve(site).sidecar.url.rpartition(":")[2]
    ended = run_serve(site.config(tmp_path), SIDECARPORT=taken)
    assert ended.returncode == 1
    assert f"port {taken}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_another_address_where_it_is_allowed(site: Site, serve: Serve) -> None:
    served = serve(site, BindAddress="0.0.0.0", AllowUnauthenticated=True)  # noqa: S104
    port = served.sidecar.url.rpartition(":")[2]
    assert Client(f"http://127.0.0.1:{port}").ping()["status"] == "ok"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"SSH": {"UserKnownHostsFile": "{empty}"}}, "host key"),
        ({"SSH": {"User": "nobody"}}, "key"),
        ({"SSH": {"IdentityFile": "/no/such/key"}}, "/no/such/key"),
        ({"SbatchPath": "/no/such/sbatch"}, "sbatch"),
    ],
)
def test_a_create_at_an_unusable_site_gets_the_reason(
    site: Site, serve: Serve, tmp_path: Path, keys: Any, reason: str
) -> None:
    (tmp_path / "empty").touch()
    served = serve(site, **json.loads(json.dumps(keys).replace("{empty}", str(tmp_path / "empty"))))
    refused = served.client.create(request(pod(sh("c", "true"))))
    assert_sentence(refused)
    assert reason in refused.text
    assert served.client.ping()["status"] == "ok"


def test_errors_only_logging(site: Site, tmp_path: Path) -> None:
    socket = tmp_path / "plugin.sock"
    config = site.config(tmp_path, Socket=f"unix://{socket}", VerboseLogging=False, ErrorsOnlyLogging=True)
    log = tmp_path / "log"
    with log.open("w") as file, subprocess.Popen([PROGRAM, "serve", "--config", config], stderr=file) as program:
        wait_until(socket.exists, "it listens")
        client = Client(f"unix://{socket}")
        answers = [client.create(request(pod(sh("c", "true"), flags=flags))) for flags in ("", "-p nowhere")]
        program.terminate()
    assert [answer.status for answer in answers] == [200, 422]
    assert log.read_text() == ""
