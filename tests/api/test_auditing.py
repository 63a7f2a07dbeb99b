"""The audit log: one line for what was asked of a pod, and for what was refused; nothing secret in it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api.api_client import Api, bearer, until
from tests.api.certificates import Authority

Serve = Callable[..., Any]

TOKEN = "0123456789abcdef"
UID = "6b1c2a0e-53f4-4f5c-9d52-0b8c8f2a7d10"
SECRET = "swordfish-4711"


def pod(image: str = "busybox", **metadata: Any) -> dict[str, Any]:
    env = [{"name": "PASSWORD", "value": SECRET}]
    container = {"name": "c", "image": image, "command": ["sh", "-c", f"echo {SECRET}"], "env": env}
    return {
        "metadata": {"name": "hello", "namespace": "team", "uid": UID, **metadata},
        "spec": {"containers": [container], "serviceAccountName": "robot"},
    }


class Audit:
    def __init__(self, path: Path) -> None:
        self.path = path

    async def lines(self, count: int) -> list[dict[str, Any]]:
        """The first lines, once there are so many."""
        await until(lambda: self.path.read_text().count("\n") >= count)
        text = self.path.read_text()
        assert SECRET not in text
        assert TOKEN not in text
        found = [json.loads(line) for line in text.splitlines()]
        assert all(line.pop("time") and line["client"].pop("peer") for line in found if "client" in line)
        return found


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path / "audit")


async def test_create_and_delete(serve: Serve, audit: Audit, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    api: Api = await serve(
        AuditLog=str(audit.path), TokenFile=str(tmp_path / "token"), ImagePrefix="docker://r.example/"
    )
    await api.looked()
    shown = {"Authorization": bearer(TOKEN), "InterLink-Http-Session": "CreatePod#7"}
    created = await api.ask("POST", "/create", json={"pod": pod(), "container": []}, **shown)
    assert created.status == 200, created.text
    assert (await api.ask("POST", "/delete", json=pod(), **shown)).status == 200
    lines = {line["verb"]: line for line in await audit.lines(3)}
    common = {
        "outcome": "accepted",
        "client": {"name": "TokenFile:1"},
        "session": "CreatePod#7",
        "pod": {"namespace": "team", "name": "hello", "uid": UID, "serviceAccount": "robot"},
        "user": "hpcuser",
    }
    scripts = lines["create"]["scripts"]
    assert len(scripts["job.sh"]) == 64
    images, job = ["docker://r.example/busybox"], json.loads(created.text)["PodJID"]
    assert lines["create"] == {
        "verb": "create", **common, "images": images, "scripts": scripts, "jobId": job, "status": 200,
    }  # fmt: skip
    assert lines["submit"] == {"verb": "submit", **common, "images": images, "scripts": scripts, "jobId": job}
    assert lines["delete"] == {"verb": "delete", **common, "images": ["busybox"], "status": 200}


async def test_a_refusal_names_the_rule(serve: Serve, audit: Audit) -> None:
    policies = {"team": {"Namespaces": ["team"], "AllowedImages": ["docker://busybox"]}}
    api: Api = await serve(AuditLog=str(audit.path), Policies=policies, Namespace="team")
    await api.looked()
    annotations = {"slurm-job.vk.io/flavor": SECRET}
    for body in (pod("alpine"), pod(annotations=annotations), pod(namespace="other")):
        reply = await api.ask("POST", "/create", json={"pod": body, "container": []})
        assert reply.status == 400
    lines = await audit.lines(3)
    assert [line["rule"] for line in lines] == [
        "Policies.team.AllowedImages",
        "Policies.team.AllowedAnnotations",
        "Namespace",
    ]
    assert {(line["verb"], line["outcome"], line["status"]) for line in lines} == {("create", "refused", 400)}
    assert lines[0]["images"] == ["alpine"]
    assert "image docker://alpine of pod" in lines[0]["reason"]


async def test_who_may_not_ask(serve: Serve, audit: Audit, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    grants = {"reader": {"TokenFile": "token", "Verbs": ["logs", "status"], "Namespaces": ["other"]}}
    (tmp_path / "access.yaml").write_text(yaml.safe_dump({"Clients": grants}))
    api: Api = await serve(AuditLog=str(audit.path), Access=str(tmp_path / "access.yaml"))
    shown = {"Authorization": bearer(TOKEN)}
    assert (await api.get("/status", json=[], Authorization=bearer("x" * 20))).status == 401
    assert (await api.get("/status", json=[pod()], **shown)).status == 403
    log = {"Namespace": "team", "PodUID": UID, "ContainerName": "c", "Opts": {}}
    assert (await api.get("/getLogs", json=log, **shown)).status == 403
    assert (await api.ask("POST", "/delete", json=pod(), **shown)).status == 403
    assert (await api.get("/status", json=[], **shown)).status == 200  # not recorded
    assert (await api.get("/status", json={}, **shown)).status == 400  # not recorded
    assert (await api.ask("POST", "/create", json={}, Origin="https://evil.example")).status == 403
    lines = await audit.lines(5)
    assert [(line["verb"], line.get("rule", ""), line["status"]) for line in lines] == [
        ("status", "Access", 401),
        ("status", "Access", 403),
        ("logs", "Access", 403),
        ("delete", "Access", 403),
        ("create", "", 403),
    ]
    assert lines[0]["client"] == {}
    assert lines[2]["client"] == {"name": "reader"}
    assert lines[2]["pod"] == {"namespace": "team", "uid": UID}
    assert lines[2]["container"] == "c"


async def test_a_request_that_is_wrong_is_recorded_in_a_short_line(serve: Serve, audit: Audit) -> None:
    api: Api = await serve(AuditLog=str(audit.path), Policies={"none": {"Namespaces": ["none"]}})
    await api.looked()
    body = pod("x" * 100_000)
    body["spec"]["serviceAccountName"] = "y" * 100_000
    body["spec"]["containers"] += [{"name": f"c{number}", "image": f"i{number}"} for number in range(200)]
    assert (await api.ask("POST", "/create", json={"pod": body, "container": []})).status == 400
    reply = await api.send("POST", "/create", b"not deflated", **{"Content-Encoding": "deflate"})
    assert reply.status in {400, 415}
    first, second = await audit.lines(2)
    assert len(json.dumps(first)) < 20_000
    assert (second["verb"], second["outcome"], second["status"]) == ("create", "refused", reply.status)


async def test_a_certificate_is_named(serve: Serve, audit: Audit) -> None:
    authority = Authority(audit.path.parent)
    pair = authority.pair("sidecar")
    tls = {"CertFile": str(pair.cert), "KeyFile": str(pair.key), "ClientCAFile": str(authority.file)}
    api: Api = await serve(AuditLog=str(audit.path), TLS=tls)
    client = authority.trusting(authority.pair("CN=interlink,O=Example"))
    assert (await api.ask("POST", "/delete", json=pod(), tls=client)).status == 200
    (line,) = await audit.lines(1)
    assert line["client"] == {"certificate": "CN=interlink,O=Example"}


async def test_a_process_behind_a_socket_is_named(serve: Serve, audit: Audit) -> None:
    api: Api = await serve(AuditLog=str(audit.path), Socket=f"unix://{audit.path.parent}/the.sock")
    assert (await api.ask("POST", "/delete", json=pod())).status == 200
    await until(lambda: audit.path.read_text().endswith("\n"))
    assert json.loads(audit.path.read_text())["client"]["peer"].startswith("unix uid=")
