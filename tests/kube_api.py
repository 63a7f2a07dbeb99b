"""A stand-in for the Kubernetes API: the few paths that the sidecar asks over HTTP, by the real client.

Objects are JSON as the API server gives them; an Event whose name is taken is refused with 409, as there.
"""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

TOKEN = "a-token-of-the-test"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
# ValidateEventCreate of Kubernetes 1.34 counts bytes: "can have at most 1024 characters"
_MOST_BYTES = 1024
_PATH = re.compile(r"/api/v1/namespaces/([^/]+)/(pods|configmaps|secrets|events|persistentvolumeclaims)(?:/([^/?]+))?")


def forged(claims: Any, signature: str = "forged") -> str:
    """A token with these claims, which no API server has signed."""
    parts = ({"alg": "RS256"}, claims)
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts), signature]
    )


@dataclass
class KubeApi:
    """What there is, by (kind, namespace, name); and the requests that it got."""

    port: int = 0
    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    signed: set[str] = field(default_factory=set)
    clock: float = 0.0  # when not zero, tokens that end before it are rejected

    @property
    def events(self) -> list[dict[str, Any]]:
        return [each for (kind, _, _), each in [*self.objects.items()] if kind == "events"]

    def of(self, pod: dict[str, Any]) -> list[tuple[str, str]]:
        """Reason and message of the Events of a pod, in order."""
        uid = pod["metadata"]["uid"]
        return [(each["reason"], each["message"]) for each in self.events if each["involvedObject"]["uid"] == uid]

    def add(self, kind: str, body: dict[str, Any]) -> None:
        metadata = body["metadata"]
        self.objects[kind, metadata.get("namespace", "default"), metadata["name"]] = body

    def kubeconfig(self, folder: Path) -> Path:
        """The path of a file for a user that has the token."""
        path = folder / f"kubeconfig-{self.port}"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "test", "user": {"token": TOKEN}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, dict[str, Any]]:
        self.asked.append(f"{method} {path}")
        if path == REVIEWS and token == f"Bearer {TOKEN}" and "tokenreviews" not in self.forbidden:
            return 201, self._reviewed(json.loads(body))
        found = _PATH.fullmatch(path.partition("?")[0])
        if token != f"Bearer {TOKEN}":
            return 401, {"reason": "Unauthorized"}
        if not found or found[2] in self.forbidden:
            return 403, {"reason": "Forbidden"}
        namespace, kind, name = found.groups()
        if method == "POST":
            return self._created(kind, namespace, json.loads(body))
        if (kind, namespace, name) not in self.objects:
            return 404, {"reason": "NotFound"}
        return 200, self.objects[kind, namespace, name]

    def token(self, namespace: str, account: str = "default", audience: str = "remote-slurm", ends: float = 4e9) -> str:
        """A projected token of a service account."""
        claims = {"aud": [audience], "exp": ends, "sub": f"system:serviceaccount:{namespace}:{account}"}
        made = forged(claims, f"signed-{len(self.signed)}")
        self.signed.add(made)
        return made

    def _reviewed(self, review: dict[str, Any]) -> dict[str, Any]:
        """As kube-apiserver does it: the signature, the end and the audience decide."""
        token, wanted = review["spec"]["token"], review["spec"]["audiences"]
        if token.count(".") != 2:
            return {**review, "status": {"authenticated": False, "error": "invalid bearer token"}}
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==="))
        audiences = [each for each in claims["aud"] if each in wanted]
        if token not in self.signed or not audiences or claims["exp"] < self.clock:
            status: dict[str, Any] = {"authenticated": False, "error": "invalid bearer token"}
        else:
            status = {"authenticated": True, "user": {"username": claims["sub"]}, "audiences": audiences}
        return {**review, "status": status}

    def _created(self, kind: str, namespace: str, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        key = kind, namespace, document["metadata"]["name"]
        if len(document.get("message", "").encode()) > _MOST_BYTES:
            return 422, {"reason": "Invalid"}
        if key in self.objects:
            return 409, {"reason": "AlreadyExists"}
        self.objects[key] = document
        return 201, document


@contextmanager
def kube_api() -> Iterator[KubeApi]:
    """One that listens on 127.0.0.1."""
    api = KubeApi()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, document = api.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _answer  # noqa: N815 - the names are http.server's

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield api
        server.shutdown()
