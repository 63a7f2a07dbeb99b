"""The audit log of a sidecar at a real site: what was asked, by whom, and what became of it."""

import itertools
import json
from pathlib import Path
from typing import Any

import yaml

from tests.pods import key, pod, request, sh
from tests.serving import Serve, wait_until
from tests.sidecar import Client
from tests.sites import Site

TOKEN = "0123456789abcdef"
SECRET = "swordfish-4711"


def test_create_refusal_log_and_delete(site: Site, serve: Serve, tmp_path: Path) -> None:
    audit, rotated = tmp_path / "audit.json", tmp_path / "audit.json.1"
    (tmp_path / "team.token").write_text(TOKEN)
    verbs = ["create", "status", "delete", "logs", "list", "info"]
    team = {"TokenFile": str(tmp_path / "team.token"), "Verbs": verbs, "Namespaces": ["default"]}
    access = tmp_path / "access.yaml"
    access.write_text(yaml.safe_dump({"Clients": {"team": team}}))
    policies = {"all": {"Namespaces": ["*"], "AllowedImages": ["/srv/*"], "AllowedAnnotations": ["flags"]}}
    served = serve(site, AuditLog=str(audit), Access=str(access), Policies=policies)
    client = Client(served.sidecar.url, token=TOKEN)

    def lines(path: Path, count: int) -> list[dict[str, Any]]:
        wait_until(lambda: path.read_text().count("\n") >= count, f"{count} lines in {path.name}")
        assert SECRET not in path.read_text()
        return [json.loads(line) for line in path.read_text().splitlines()]

    a_pod = pod(sh("c", f"echo {SECRET}", env=[{"name": "PASSWORD", "value": SECRET}]))
    other = pod(sh("c", "true", image="docker://registry.example.org/x"))
    foreign = pod(sh("c", "true"))
    foreign["metadata"]["namespace"] = "default-x"

    job = client.create(request(a_pod)).json["PodJID"]
    folder = f"{served.root}/{key(a_pod)}"
    in_folder = site.exec(f"su hpcuser -c 'cd; sha256sum {folder}/job.sh'").split()[0]
    assert client.create(request(other)).status == 400
    assert client.create(request(foreign)).status == 403
    assert Client(served.sidecar.url).create(request(foreign)).status == 401
    requests = itertools.count(1)

    def has_log() -> bool:
        return next(requests) > 0 and client.logs(a_pod, "c").text == f"{SECRET}\n"

    wait_until(has_log, "the log is there")
    asked = next(requests) - 1

    # the record of a request may come a moment after its answer
    def is_recorded() -> bool:
        found = [json.loads(line) for line in audit.read_text().split("\n")[:-1]]
        return len([line for line in found if line["verb"] == "logs"]) == asked

    wait_until(is_recorded, "the requests for the log are recorded")
    audit.rename(rotated)
    assert client.delete(a_pod).status == 200
    wait_until(lambda: '"remove"' in audit.read_text() if audit.exists() else False, "the pod was removed")

    before, after = lines(rotated, 6), lines(audit, 2)
    for line in [*before, *after]:
        assert line["time"].endswith("Z")
    created = next(line for line in before if line["verb"] == "create" and line["outcome"] == "accepted")
    assert created["client"]["name"] == "team"
    assert created["pod"]["uid"] == a_pod["metadata"]["uid"]
    assert created["user"] == "hpcuser"
    assert (created["scripts"]["job.sh"], created["jobId"]) == (in_folder, job)
    assert [image.rpartition("/")[2].removesuffix(".sif") for image in created["images"]] == ["busybox"]
    assert next(line["jobId"] for line in before if line["verb"] == "submit") == job
    refused = {line["rule"]: line["status"] for line in before if line["verb"] == "create" and "rule" in line}
    assert refused == {"Policies.all.AllowedImages": 400, "Access": 401}
    assert {line["status"] for line in before if line.get("rule") == "Access"} == {401, 403}
    assert {"logs", "accepted"} <= {word for line in before for word in (line["verb"], line["outcome"])}
    assert [(line["verb"], line["outcome"]) for line in after] == [("delete", "accepted"), ("remove", "accepted")]
