"""Volumes as they look from inside a container."""

import base64
import hashlib
from typing import Any

import pytest

from tests.pods import Json, key, payload, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.sites import Site

SECRET = "s3cr3t"
SECRET_BASE64 = base64.b64encode(f"{SECRET}\n".encode()).decode()


def with_main(script: str) -> Json:
    """create-volumes.json with another script in its main container, and an image that is at the site."""
    body = payload("create-volumes.json")
    main = body["pod"]["spec"]["containers"][0]
    main |= {"image": "busybox", "args": [script]}
    main["resources"]["limits"]["memory"] = main["resources"]["requests"]["memory"] = "50Mi"
    main["startupProbe"]["timeoutSeconds"] = 60  # the machine may be slow
    return body


def config_volume(data: Json, binary: Json | None = None, **source: Any) -> tuple[Json, Json]:
    """A volume named `config`, and the ConfigMap it comes from."""
    config_map = {"metadata": {"name": "cm", "namespace": "default"}, "data": data, "binaryData": binary}
    return {"name": "config", "configMap": {"name": "cm", **source}}, config_map


def test_the_payload_with_every_kind_of_volume(served24: Serving) -> None:
    main = payload("create-volumes.json")["pod"]["spec"]["containers"][0]
    volumes = served24.vk.create(with_main(main["args"][0])).until_over()
    assert volumes.phase == "Succeeded", volumes.log("main")
    log = volumes.log("main")
    expected = f"hello from a ConfigMap\nsecond line\n{SECRET}\nteam-a"
    assert expected in log
    assert log.partition(expected)[2].startswith("total ")
    assert volumes.exit_code("sidecar") == 0
    assert served24.journal == []


def test_contents_and_modes_are_those_that_the_pod_asks_for(served24: Serving) -> None:
    script = """
        stat -c '%a %n' /data/greeting.txt /creds/token
        ls /creds /var/run/secrets/kubernetes.io/serviceaccount
        (echo no > /creds/token) 2>/dev/null || echo creds are read-only
        echo mine > /scratch/mine && cat /scratch/mine
        printf '%s' "$QUOTED" | sha256sum
    """
    body = with_main(script)
    sidecar = body["pod"]["spec"]["containers"][1]
    sidecar["args"] = ["-c", "cat /etc/app/greeting.txt; stat -c '%a %n' /etc/app/greeting.txt; ls /etc/app"]
    shown = served24.vk.create(body).until_over()
    assert shown.phase == "Succeeded", shown.log("main")
    quoted = body["pod"]["spec"]["containers"][0]["env"][0]["value"]
    assert (
        shown.log("main").splitlines()[-11:]
        == [
            "600 /data/greeting.txt",
            "400 /creds/token",
            "/creds:",
            "token",
            "",
            "/var/run/secrets/kubernetes.io/serviceaccount:",
            "ca.crt",
            "namespace",
            "token",
            "creds are read-only",
            "mine",
            f"{hashlib.sha256(quoted.encode()).hexdigest()}  -",
        ][-11:]
    )
    assert shown.log("sidecar").endswith(
        "hello from a ConfigMap\nsecond line\n444 /etc/app/greeting.txt\ngreeting.txt\n"
    )
    assert served24.site.exec("cat /tmp/scratch/mine") == "mine\n"


def test_a_config_map_without_items_brings_every_key(served24: Serving) -> None:
    every_byte = bytes(range(256))
    volume, config_map = config_volume(
        {"text": "no newline at the end", "empty": ""}, {"bytes": base64.b64encode(every_byte).decode()}
    )
    mount = {"name": "config", "mountPath": "/config"}
    script = "cd /config; ls; cat text; stat -c ' %a %s' text empty bytes; sha256sum < bytes; echo x > new"
    shown = served24.vk.create(
        request(pod(sh("c", script, volumeMounts=[mount]), volumes=[volume]), configMaps=[config_map])
    ).until_over()
    assert shown.phase == "Failed"
    lines = shown.log("c").splitlines()
    assert lines[:4] == ["bytes", "empty", "text", "no newline at the end 644 21"]
    assert lines[4:7] == [" 644 0", " 644 256", f"{hashlib.sha256(every_byte).hexdigest()}  -"]
    assert "Read-only" in lines[7]


def test_an_empty_dir_is_shared_and_can_be_read_only_for_one(served24: Serving) -> None:
    work: Json = {"name": "work", "mountPath": "/work"}
    shared = served24.vk.create(
        request(
            pod(
                sh("reads", "cat /work/sub/f; echo no > /work/sub/f", volumeMounts=[work | {"readOnly": True}]),
                initContainers=[sh("writes", "mkdir /work/sub; echo yes > /work/sub/f", volumeMounts=[work])],
                volumes=[{"name": "work", "emptyDir": {}}],
            )
        )
    ).until_over()
    assert shared.phase == "Failed"
    assert shared.exit_code("writes") == 0
    assert shared.log("reads").startswith("yes\n")
    assert "Read-only" in shared.log("reads")


def test_a_config_map_of_five_megabytes(served24: Serving) -> None:
    text = "".join(f"{number:0100}\n" for number in range(50_000))
    volume, config_map = config_volume({"big": text})
    mount = {"name": "config", "mountPath": "/config"}
    containers = [sh(name, "sha256sum < /config/big", volumeMounts=[mount]) for name in ("a", "b")]
    big = served24.vk.create(request(pod(*containers, volumes=[volume]), configMaps=[config_map])).until_over()
    assert big.phase == "Succeeded"
    digest = f"{hashlib.sha256(text.encode()).hexdigest()}  -\n"
    assert [big.log("a"), big.log("b")] == [digest, digest]


def test_hostile_names_of_keys_and_paths(served24: Serving) -> None:
    names = ["with blank", "quote'", 'double"', "$HOME", "-rf", "ünï"]
    volume, config_map = config_volume(
        {"key": "value"}, items=[{"key": "key", "path": f"sub/{name}"} for name in names]
    )
    mount = {"name": "config", "mountPath": "/config $HOME 'x'"}
    shown = served24.vk.create(
        request(
            pod(sh("c", "cd \"/config \\$HOME 'x'/sub\" && cat -- *", volumeMounts=[mount]), volumes=[volume]),
            configMaps=[config_map],
        )
    ).until_over()
    assert shown.log("c") == "value" * len(names)
    assert shown.phase == "Succeeded"


def test_secrets_are_private_to_the_account_and_removed_with_the_job(serve: Serve, site: Site) -> None:
    served = serve(site)
    body = with_main("while [ ! -e /scratch/go-on ]; do sleep 0.1; done")
    path = f"/tmp/{key(body['pod'])}"
    next(each for each in body["pod"]["spec"]["volumes"] if each["name"] == "scratch")["hostPath"]["path"] = path
    held = served.vk.create(body).until_running("main")
    secret = f"{served.root}/{key(held.pod)}/secret"
    assert len([name for name in site.files(served.root) if name.endswith("/token")]) == 2
    assert site.exec(f"stat -c '%a %U' {secret} {served.root}/{key(held.pod)}") == "700 hpcuser\n700 hpcuser\n"
    # what containers see has the modes that they expect, in a folder that no other account may enter
    ours = "! -path '*/volumes/*' ! -path '*/scratch/*' ! -name hosts ! -name localtime"
    open_to_others = f"find {served.root} -perm /077 ! -type l {ours} 2>/dev/null || :"  # files go meanwhile
    assert site.exec(open_to_others) == ""
    assert SECRET not in site.exec("cat /proc/*/cmdline | tr '\\0' ' '")
    site.exec(f"touch {path}/go-on")
    held.until_over()
    assert held.phase == "Succeeded"
    assert site.exec(open_to_others) == ""
    search = f"grep -rlE '{SECRET}|{SECRET_BASE64}' {served.root} || true"
    wait_until(lambda: site.exec(search) == "", "no secret is left when the job has ended")
    assert SECRET not in served.sidecar.log
    assert SECRET_BASE64 not in served.sidecar.log
    assert "eyJhbGciOi" not in served.sidecar.log


@pytest.mark.parametrize(
    ("volume", "word"),
    [
        ({"configMap": {"name": "absent"}}, "absent"),
        ({"secret": {"secretName": "absent"}}, "absent"),
        ({"hostPath": {"path": "/tmp/../etc"}}, ".."),
        ({"hostPath": {"path": "relative"}}, "absolute"),
        ({"persistentVolumeClaim": {"claimName": "claim"}}, "PersistentVolumeClaims"),
        ({"configMap": {"name": "cm", "items": [{"key": "key", "path": "../../up"}]}}, "without '..'"),
        ({"configMap": {"name": "cm", "items": [{"key": "other", "path": "x"}]}}, "other"),
    ],
)
def test_volumes_that_cannot_be_are_refused_with_a_sentence(served24: Serving, volume: Json, word: str) -> None:
    config_map = config_volume({"key": "value"})[1]
    container = sh("c", "true", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    a_pod = pod(container, volumes=[{"name": "v", **volume}])
    answer = served24.vk.refused(request(a_pod, configMaps=[config_map]))
    assert answer.status == 400
    assert word in answer.text
    assert served24.left_of(a_pod) == []
    assert served24.client.status(a_pod).json == []


def test_optional_volumes_may_be_absent(served24: Serving) -> None:
    volumes = [
        {"name": "a", "configMap": {"name": "absent", "optional": True}},
        {"name": "b", "secret": {"secretName": "absent", "optional": True}},
    ]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in "ab"]
    empty = served24.vk.create(request(pod(sh("c", "ls /a /b", volumeMounts=mounts), volumes=volumes))).until_over()
    assert empty.log("c") == "/a:\n\n/b:\n"


def test_a_host_path_that_is_not_there_fails_the_pod_and_says_so(served: Serving) -> None:
    volumes = [{"name": "v", "hostPath": {"path": "/no/such/folder", "type": "Directory"}}]
    container = sh("c", "echo ran", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    missing = served.vk.create(request(pod(container, volumes=volumes))).until_over()
    assert missing.phase == "Failed"
    assert "/no/such/folder" in missing.terminated("c")["message"]
