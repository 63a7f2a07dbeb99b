"""Access: which clients may do what, for pods of which namespaces."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from remote_slurm.api.access import OPEN, verb_of
from remote_slurm.config.access import load_access
from remote_slurm.errors import ConfigError
from tests.api.api_client import Api, Reply, bearer
from tests.api.certificates import Authority
from tests.fake_site import SlurmJob, instant_site

Serve = Callable[..., Any]

EXAMPLE = Path(__file__).parents[2] / "examples" / "access" / "access.yaml"
UID = "6b1c2a0e-53f4-4f5c-9d52-0b8c8f2a7d10"
VERBS = ["create", "status", "delete", "logs", "list", "info", "metrics"]


class Access:
    """The file, and a token for each client in it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "access.yaml"
        self.folder = folder

    def token(self, name: str) -> str:
        return f"{name}-0123456789abcdef"

    def write(self, **clients: dict[str, Any]) -> None:
        for name in clients:
            (self.folder / f"{name}.token").write_text(self.token(name))
        grants = {name: {"TokenFile": f"{name}.token", **grant} for name, grant in clients.items()}
        self.path.write_text(yaml.safe_dump({"Clients": grants}))


@pytest.fixture
def access(tmp_path: Path) -> Access:
    return Access(tmp_path)


def pod(namespace: str, uid: str = UID) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": namespace, "uid": uid}, "spec": {"containers": [{"name": "c"}]}}


def requests(namespace: str) -> list[tuple[str, str, Any]]:
    log = {"Namespace": namespace, "PodUID": UID, "PodName": "p", "ContainerName": "c", "Opts": {}}
    return [
        ("GET", "/getLogs", log),
        ("GET", "/status", [pod(namespace)]),
        ("POST", "/delete", pod(namespace)),
        ("POST", "/create", {"pod": pod(namespace), "container": []}),
    ]


async def test_a_client_does_what_it_may_in_its_namespaces_only(serve: Serve, access: Access) -> None:
    access.write(team={"Verbs": ["create", "status", "delete", "logs"], "Namespaces": ["team", "lab-*"]})
    api: Api = await serve(Access=str(access.path), IdentityAnnotation="")
    await api.looked()
    shown = {"Authorization": bearer(access.token("team"))}
    for namespace in ("team-a", "tea", "lab", "default"):
        for method, path, body in requests(namespace):
            reply = await api.ask(method, path, json=body, **shown)
            assert (reply.status, path) == (403, path)
            assert reply.text == (
                f"team may not {verb_of(path)} pods of the namespace '{namespace}': no entry of Access allows it"
            )
    for namespace in ("team", "lab-1"):
        replies = [await api.ask(method, path, json=body, **shown) for method, path, body in requests(namespace)]
        assert 403 not in [reply.status for reply in replies]


async def test_one_pod_of_another_namespace_refuses_the_whole_question(serve: Serve, access: Access) -> None:
    access.write(team={"Verbs": ["status"], "Namespaces": ["team"]})
    api: Api = await serve(Access=str(access.path))
    body = [pod("team"), pod("other")]
    assert (await api.get("/status", json=body, Authorization=bearer(access.token("team")))).status == 403


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("info", "/system-info"),
        ("list", "/pods"),
        ("list", "/describe?pod=team-1"),
        ("list", "/ui"),
        ("list", "/ui/state"),
        ("list", "/ui/history"),
        ("list", "/ui/page.js"),
        ("metrics", "/metrics"),
        ("logs", "/ui/log?pod=team-1&container=c"),
        ("logs", "/getLogs"),
        ("status", "/status"),
    ],
)
async def test_each_endpoint_wants_its_verb(serve: Serve, access: Access, verb: str, path: str) -> None:
    others = [each for each in VERBS if each != verb]
    access.write(
        one={"Verbs": [verb], "Namespaces": ["*"]},
        others={"Verbs": others, "Namespaces": ["*"]},
    )
    api: Api = await serve(Access=str(access.path))
    await api.looked()
    assert (await api.get(path, json=[], Authorization=bearer(access.token("one")))).status != 403
    reply = await api.get(path, json=[], Authorization=bearer(access.token("others")))
    assert (reply.status, reply.text) == (403, f"others may not use the verb {verb}: no entry of Access allows it")


async def test_every_endpoint_has_a_verb(serve: Serve) -> None:
    api: Api = await serve(Watch={"Port": 0})
    reply = await api.get("/nowhere")
    paths = reply.text.rpartition(" are ")[2].split(", ")
    assert {path for path in paths if verb_of(path) is None} == OPEN
    assert "/getLogs" in paths


async def test_lists_hold_the_pods_of_the_clients_namespaces(serve: Serve, access: Access) -> None:
    access.write(team={"Verbs": ["list", "info"], "Namespaces": ["team"]})
    site = instant_site(SlurmJob("7", "team-1"), SlurmJob("8", "team-a-1"))
    api: Api = await serve(site, Access=str(access.path))
    await api.looked()

    async def listed(path: str) -> list[str]:
        reply = await api.get(path, Authorization=bearer(access.token("team")))
        return [each["pod"] for each in json.loads(reply.text)["pods"]]

    assert [await listed("/pods"), await listed("/ui/state")] == [["team-1"], ["team-1"]]
    described = await api.get("/describe?pod=team-a-1", Authorization=bearer(access.token("team")))
    assert described.status == 403


async def test_the_file_is_read_again_when_it_changes(
    serve: Serve, access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    access.write(one={"Verbs": ["status"]} | {"Namespaces": ["*"]})
    api: Api = await serve(Access=str(access.path))

    async def status(name: str) -> int:
        return (await api.get("/status", json=[], Authorization=bearer(access.token(name)))).status

    assert [await status("one"), await status("two")] == [200, 401]
    access.write(two={"Verbs": ["status"], "Namespaces": ["*"]})
    assert [await status("one"), await status("two")] == [401, 200]
    access.write(two={"Verbs": ["logs"], "Namespaces": ["*"]})
    assert [await status("one"), await status("two")] == [401, 403]
    access.path.write_text("Clients: {two: {Verbs: [nothing]}}")
    assert [await status("one"), await status("two")] == [401, 401]
    assert "Access are rejected until the file is corrected" in caplog.text
    access.write(one={"Verbs": ["status"], "Namespaces": ["*"]})
    assert [await status("one"), await status("two")] == [200, 401]
    access.path.unlink()
    assert await status("one") == 401


async def test_a_token_of_token_file_may_do_everything(serve: Serve, access: Access, tmp_path: Path) -> None:
    access.write(one={"Verbs": ["status"], "Namespaces": ["*"]})
    (tmp_path / "all").write_text("0123456789abcdef")
    api: Api = await serve(Access=str(access.path), TokenFile=str(tmp_path / "all"), Watch={"Port": 0})
    for each in (api, api.watched):
        assert (await each.get("/metrics", Authorization=bearer(access.token("one")))).status == 403
        assert (await each.get("/metrics")).status == 401
    assert (await api.get("/metrics", Authorization=bearer("0123456789abcdef"))).status == 200
    assert (await api.get("/healthz")).status == 200


async def test_a_grant_for_a_certificate_and_one_that_wants_a_token_too(serve: Serve, access: Access) -> None:
    authority, shown = Authority(access.folder), ["CN=both", "DNS:client.example.org"]
    access.write(both={"Verbs": ["info"], "Subjects": shown})
    grants = yaml.safe_load(access.path.read_text())
    grants["Clients"]["cert"] = {"Verbs": ["status"], "Subjects": ["CN=*"], "Namespaces": ["*"]}
    access.path.write_text(yaml.safe_dump(grants))
    pair = authority.pair("sidecar")
    tls = {"CertFile": str(pair.cert), "KeyFile": str(pair.key), "ClientCAFile": str(authority.file)}
    api: Api = await serve(Access=str(access.path), TLS=tls)
    await api.looked()

    async def ask(path: str, name: str, **headers: str) -> Reply:
        return await api.get(path, json=[], tls=authority.trusting(authority.pair(name)), **headers)

    token = {"Authorization": bearer(access.token("both"))}
    assert (await ask("/status", "anybody")).status == 200
    assert (await ask("/system-info", "both")).status == 403
    assert (await ask("/system-info", "other", **token)).status == 403
    assert (await ask("/system-info", "both", **token)).status != 403


async def test_a_file_that_everybody_may_write_to_is_refused(serve: Serve, access: Access) -> None:
    access.write(one={"Verbs": ["status"], "Namespaces": ["*"]})
    access.path.chmod(0o666)
    with pytest.raises(ConfigError, match=r"Access is not used: every account can write to .*: chmod go-w"):
        await serve(Access=str(access.path))


@pytest.mark.parametrize("path", ["/cre%61te", "/%63reate", "/ui%2Fstate", "/create/", "/ui/..%2Fcreate"])
async def test_a_path_in_disguise_wants_the_same_verb(serve: Serve, access: Access, path: str) -> None:
    access.write(one={"Verbs": ["metrics"]})
    api: Api = await serve(Access=str(access.path))
    reply = await api.ask("POST", path, json={"pod": pod("team")}, Authorization=bearer(access.token("one")))
    assert reply.status in {403, 404, 405}
    assert "PodUID" not in reply.text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "Clients: {a: {TokenFile: t, Verbs: [creat], Namespaces: ['*']}}",
            "Clients.a.Verbs[0] (line 1): must be verbs",
        ),
        ("Clients: {a: {TokenFile: t, Verbs: [creat], Namespaces: ['*']}}", "not 'creat': did you mean create?"),
        (
            "Clients: {a: {Verbs: [info]}}",
            "Clients.a.Verbs (line 1): let no client in: the entry needs TokenFile or Subjects",
        ),
        ("Clients: {a: {TokenFile: t, Verbs: [create]}}", 'is required for create: ["*"] matches every namespace'),
        ("Clients: {a: {TokenFile: t}}", "Clients.a.Verbs (line 1): is required: what the client may do"),
        ("Clients: {a: {Subject: [CN=a], Verbs: [info]}}", "is not a known key: did you mean Subjects?"),
        ("Clients: {a: {Subjects: [interlink], Verbs: [info]}}", "must be a subject as `openssl x509 -noout -subject"),
        ("- a", "Access must be a block of keys"),
        ("Clients: {", "Access is not YAML"),
    ],
)
async def test_a_wrong_file_is_an_error_at_the_start(serve: Serve, access: Access, text: str, sentence: str) -> None:
    access.path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        await serve(Access=str(access.path))
    assert sentence in str(refused.value)


def test_the_example_loads() -> None:
    assert list(load_access(EXAMPLE)) == ["interlink", "physics", "prometheus"]
