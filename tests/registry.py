"""A registry of container images on 127.0.0.1, as the OCI distribution specification has it: pull only, plain HTTP.

Images below `private/` want a user and a password, or with `tokens` what another host gives for these. It counts what
it is asked, and can be slow or broken.
"""

import base64
import gzip
import hashlib
import io
import json
import platform
import tarfile
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USER, PASSWORD = "puller", 'it\'s "secret" $HOME'
_TOKEN = "t0ken"
_TOKEN_HOST = "127.0.0.2"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass
class Registry:
    """Serves until `stop`. `rootfs` is a tar of the files that all its images have.

    `tokens`: it takes no password itself, but sends its clients to another host, as Docker Hub and GitLab do.
    """

    rootfs: bytes
    tokens: bool = False
    password: str = PASSWORD
    fails: str = ""  # what it answers to every request for a manifest
    slow: threading.Event = field(default_factory=threading.Event)  # blobs wait for it, once `hold` was called
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._tags: dict[str, tuple[str, str]] = {}
        self.slow.set()
        registry = self

        class Handler(_Handler):
            served = registry

        self._servers = [_Server((host, 0), Handler) for host in ("127.0.0.1", _TOKEN_HOST)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return self._servers[0].server_port

    @property
    def challenge(self) -> str:
        """What it answers to whom it does not know."""
        if not self.tokens:
            return 'Basic realm="test"'
        return f'Bearer realm="http://{_TOKEN_HOST}:{self._servers[1].server_port}/token",service="test"'

    @property
    def auth(self) -> str:
        """User and password as HTTP has them."""
        return base64.b64encode(f"{USER}:{self.password}".encode()).decode()

    def push(self, name: str, *, entrypoint: list[str] | None = None, mark: str = "", **config: Any) -> str:
        """An image `name:tag` with `mark` in its file /mark; the URI to pull it by. A later push moves the tag."""
        layers = [gzip.compress(self.rootfs, mtime=0), gzip.compress(_layer(mark.encode()), mtime=0)]
        settings = {"Env": ["PATH=/bin:/usr/bin", "FROM_IMAGE=yes"], "Entrypoint": entrypoint, **config}
        described = {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {key: value for key, value in settings.items() if value is not None},
            "rootfs": {"type": "layers", "diff_ids": [_digest(gzip.decompress(layer)) for layer in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._stored(_CONFIG, json.dumps(described).encode()),
            "layers": [self._stored(_LAYER, layer) for layer in layers],
        }
        digest = self._stored(_MANIFEST, json.dumps(manifest).encode())["digest"]
        repository, _, tag = name.rpartition(":")
        self._tags[f"{repository}:{tag}"] = self._tags[f"{repository}:{digest}"] = (digest, _MANIFEST)
        return f"docker://{self.host}/{name}"

    def digest(self, name: str) -> str:
        """The digest of a tag now."""
        return self._tags[name][0]

    def pulls(self, name: str) -> int:
        """How often the layers of an image of this name were sent."""
        repository = name.rpartition(":")[0]
        return sum(each.startswith(f"GET /v2/{repository}/blobs/") for each in self.requests)

    def asked(self, name: str) -> int:
        """How often the digest of the tag was requested."""
        repository, _, tag = name.rpartition(":")
        return sum(each.endswith(f" /v2/{repository}/manifests/{tag}") for each in self.requests)

    def hold(self) -> None:
        """Let every pull hang from now on, until `release`."""
        self.slow.clear()

    def release(self) -> None:
        self.slow.set()

    def stop(self) -> None:
        self.release()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def docker_config(self) -> str:
        """What `docker login` would write."""
        return json.dumps({"auths": {self.host: {"auth": self.auth}}})

    @property
    def secrets(self) -> tuple[str, str]:
        """Texts that must not be found anywhere: the password, and its encoded form."""
        return self.password, self.auth

    def _stored(self, media_type: str, content: bytes) -> dict[str, Any]:
        digest = _digest(content)
        self._blobs[digest] = content
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def find(self, kind: str, repository: str, reference: str) -> tuple[str, bytes, str] | None:
        """Digest, content and type of a manifest or a blob."""
        if kind == "blobs":
            content = self._blobs.get(reference)
            return None if content is None else (reference, content, "application/octet-stream")
        found = self._tags.get(f"{repository}:{reference}")
        return None if found is None else (found[0], self._blobs[found[0]], found[1])


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A client went away in the middle of something: that is its own affair."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Registry

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _answer(self, *, body: bool) -> None:
        self.served.requests.append(f"{self.command} {self.path}")
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts == ["token"]:
            self._give_token(body=body)
            return
        if parts == ["v2"]:  # how clients learn that they may show a password
            self._refuse(HTTPStatus.UNAUTHORIZED, "authentication required", body=body)
            return
        repository, kind, reference = "/".join(parts[1:-2]), parts[-2], parts[-1]
        if repository.startswith("private/") and not self._is_allowed():
            self._refuse(HTTPStatus.UNAUTHORIZED, "authentication required", body=body)
        elif self.served.fails and kind == "manifests":
            self._refuse(HTTPStatus.FORBIDDEN, self.served.fails, body=body)
        elif (found := self.served.find(kind, repository, reference)) is None:
            self._refuse(HTTPStatus.NOT_FOUND, f"{repository} has no {reference}", body=body)
        else:
            if kind == "blobs":
                self.served.slow.wait(600)
            digest, content, media_type = found
            self._send(HTTPStatus.OK, content, media_type, {"Docker-Content-Digest": digest}, body=body)

    def _give_token(self, *, body: bool) -> None:
        shown = self.headers.get("Authorization")
        if shown not in (None, f"Basic {self.served.auth}"):
            self._refuse(HTTPStatus.UNAUTHORIZED, "wrong password", body=body)
            return
        content = json.dumps({"token": _TOKEN if shown else "anybody"}).encode()
        self._send(HTTPStatus.OK, content, "application/json", body=body)

    def _is_allowed(self) -> bool:
        wanted = f"Bearer {_TOKEN}" if self.served.tokens else f"Basic {self.served.auth}"
        return self.headers.get("Authorization") == wanted

    def _refuse(self, status: HTTPStatus, message: str, *, body: bool) -> None:
        code = {401: "UNAUTHORIZED", 403: "DENIED", 404: "MANIFEST_UNKNOWN"}.get(status, "UNKNOWN")
        content = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        headers = {"WWW-Authenticate": self.served.challenge} if status == HTTPStatus.UNAUTHORIZED else {}
        self._send(status, content, "application/json", headers, body=body)

    def _send(
        self, status: HTTPStatus, content: bytes, media_type: str, headers: dict[str, str] | None = None, *, body: bool
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": media_type, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _layer(mark: bytes) -> bytes:
    """The file /mark, and as in most images a folder that belongs to a user of its own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, owner, mode, content in (
            ("mark", tarfile.REGTYPE, 0, 0o644, mark),
            ("app", tarfile.DIRTYPE, 1000, 0o700, b""),
            ("app/data", tarfile.REGTYPE, 1000, 0o600, b"of the app"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.size = kind, mode, len(content)
            member.uid = member.gid = owner
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
