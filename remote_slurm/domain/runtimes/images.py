"""Which images a pod's containers need, which of them are pulled into the site's cache, and with whose credentials.

An image with the scheme of a registry (`docker://`, `oras://`, ...) is pulled once per site; a path is used as it is.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from remote_slurm.domain.pod.limits import IMAGE_CHARACTERS, LOGINS
from remote_slurm.domain.pod.model import Container, CreateRequest
from remote_slurm.domain.runtimes.image_names import (
    ALSO_DOCKER_HUB,
    ARCHIVES,
    DOCKER_HUB,
    FROM_REGISTRIES,
    normal_name,
    parse_image,
)
from remote_slurm.errors import InvalidRequest

_POLICIES = ("Never", "IfNotPresent", "Always")
_TAG = re.compile(r"(:[^/:@]+)?(@[^@]+)?$")
_READABLE = 80


@dataclass(frozen=True, slots=True)
class Image:
    """What a container is started from. `key` is its name in the cache, and empty for a path at the site."""

    name: str
    policy: str
    key: str = ""

    @property
    def place(self) -> str:
        """Where the job finds it: a path, relative to the pod's folder for one of the cache."""
        return f"image/{self.key}" if self.key else self.name


@dataclass(frozen=True, slots=True)
class Login:
    """A user of a registry. The password is for files, and for nothing else."""

    registry: str
    user: str
    password: str = field(repr=False)


def image_of(container: Container, prefix: str, suffix: str) -> Image:
    """Return an absolute path, or a name with a scheme, unchanged. Raises InvalidRequest if there is no name."""
    if not container.image:
        raise InvalidRequest(f"container '{container.name}' has no image: set one")
    if len(container.image) > IMAGE_CHARACTERS:
        raise InvalidRequest(
            f"the image of container '{container.name}' has {len(container.image)} characters, "
            f"{container.image[:40]}...: {IMAGE_CHARACTERS} are allowed"
        )
    invalid = f"invalid image {container.image!r} of container '{container.name}'"
    plain = container.image.startswith("/") or "://" in container.image
    name = normal_name(container.image if plain else f"{prefix or 'docker://'}{container.image}")
    scheme, separator, rest = name.partition("://")
    if not _is_a_name(name) or (separator and not _is_a_name(rest)):
        raise InvalidRequest(f"{invalid}: must be one printable line that does not begin with '-'")
    if parse_image(name) is None:
        raise InvalidRequest(f"{invalid}: {_required(scheme, name)}")
    key = _key(rest, name, suffix) if separator and scheme in FROM_REGISTRIES else ""
    return Image(name, _policy(container, rest), key)


def _required(scheme: str, name: str) -> str:
    """What the name of an image with this scheme must be."""
    if scheme in ("docker", "oras"):
        return (
            "must be [HOST[:PORT]/]PATH[:TAG] or [HOST[:PORT]/]PATH@DIGEST with PATH in lower case, or the absolute "
            "path of a file at the site"
        )
    if scheme in FROM_REGISTRIES:
        return f"must be a well-formed {scheme}:// address"
    if scheme in ARCHIVES:
        return f"must have an absolute path without '..' after {scheme}://"
    if "://" in name:
        return f"the scheme must be one of {', '.join((*FROM_REGISTRIES, *ARCHIVES))}"
    return "must be an absolute path without '..', or the name of an image in a registry"


def _is_a_name(text: str) -> bool:
    """A leading dash would be an option of the runtime; a line break, another line in the replies of scripts."""
    return text.isprintable() and not text.startswith("-")


def _key(rest: str, name: str, suffix: str) -> str:
    """A file name that a person can read, and that no other image has."""
    readable = re.sub(r"[^A-Za-z0-9._]+", "-", rest)[-_READABLE:].lstrip("-.")
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}{suffix}"


def _policy(container: Container, reference: str) -> str:
    """Kubernetes fills it in: Always for the tag `latest` and for none, else IfNotPresent."""
    policy = container.image_pull_policy
    if policy and policy not in _POLICIES:
        raise InvalidRequest(
            f"invalid imagePullPolicy '{policy}' of container '{container.name}': must be Always, IfNotPresent or Never"
        )
    if policy:
        return policy
    last = reference.rpartition("/")[2]
    tagged = "@" in last or (":" in last and not last.endswith(":latest"))
    return "IfNotPresent" if tagged else "Always"


def pulled(images: Iterable[Image]) -> list[Image]:
    """Those of registries, each once; of several policies the one that asks for most."""
    found: dict[str, Image] = {}
    for image in images:
        known = found.get(image.key, image)
        if image.key:
            found[image.key] = max(known, image, key=lambda each: _POLICIES.index(each.policy))
    return list(found.values())


@dataclass(frozen=True, slots=True)
class PullFailure:
    """Why an image cannot be had: a code of the kubelet, and a sentence that is only shown."""

    reason: str
    message: str

    @classmethod
    def parse(cls, text: str) -> PullFailure:
        """Read what job/pull.sh wrote: the code, then the sentence. The pull.sh of a stored pod may be older."""
        reason, _, message = text.partition(" ")
        if reason in (_PULL, _NEVER_PULL):
            return cls(reason, message)
        return cls(_NEVER_PULL if _NOT_IN_CACHE_BEFORE.match(text) else _PULL, text)


_PULL = "ErrImagePull"
_NEVER_PULL = "ErrImageNeverPull"
_NOT_IN_CACHE_BEFORE = re.compile(r"image \S+ is not in the cache, and (imagePullPolicy|ImagePull) is ")


# --- credentials ---


def logins(
    request: CreateRequest, images: Iterable[Image], *, export: bool
) -> tuple[Mapping[str, list[Login]], list[str]]:
    """Logins for each image by its key, the best match first; and warnings. Raises InvalidRequest.

    `export` says whether Secrets of the request may leave Kubernetes. The Virtual Kubelet (0.7) does not send the
    Secrets that imagePullSecrets names, unless a volume or variable needs them too.
    """
    known: list[Login] = []
    warnings = []
    for name in dict.fromkeys(each.name for each in request.pod.spec.image_pull_secrets):
        contents = list(_contents(request, name, export=export))
        known += [login for content in contents for login in _read(name, content)]
        if len(known) > LOGINS:
            raise InvalidRequest(f"the pod's imagePullSecrets name more than {LOGINS} registries: {LOGINS} are allowed")
        if not contents:
            warnings.append(
                f"imagePullSecrets '{name}' is not in the create request, and ImagePullSecrets has no file for it: "
                "pulling images without it. With CUSTOMKUBECONF, the sidecar reads it from Kubernetes"
            )
    return {image.key: _matching(image, known) for image in images}, warnings


def _contents(request: CreateRequest, name: str, *, export: bool) -> Iterator[Mapping[str, bytes]]:
    for secret in request.pull_secrets:
        if secret.metadata.name == name:
            yield secret.content()
            return
    if name in request.secrets:
        if not export:
            raise InvalidRequest(
                f"the images of pod {request.pod.full_name} need Secret '{name}', but ExportPodData is false in the "
                "sidecar's configuration, so that Secrets are not sent to the site"
            )
        yield request.secrets[name].content()


def _read(name: str, content: Mapping[str, bytes]) -> Iterator[Login]:
    """The keys of Secrets of the types kubernetes.io/dockerconfigjson and kubernetes.io/dockercfg."""
    text = content.get(".dockerconfigjson") or content.get(".dockercfg")
    try:
        whole = json.loads(text or b"")
        auths = whole["auths"] if ".dockerconfigjson" in content else whole
        found = [(registry, *_user(entry)) for registry, entry in auths.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidRequest(
            f"imagePullSecrets '{name}' cannot be read: must have .dockerconfigjson, as `kubectl create secret "
            "docker-registry` writes it"
        ) from None
    for registry, user, password in found:
        if user and len(registry) <= IMAGE_CHARACTERS:  # no longer one is any image's
            yield Login(_plain(registry), user, password)


def _user(entry: Mapping[str, Any]) -> tuple[str, str]:
    if entry.get("username"):
        return str(entry["username"]), str(entry.get("password", ""))
    try:
        user, _, password = base64.b64decode(entry.get("auth", ""), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("auth is not base64") from error
    return user, password.rstrip("\0")


def _plain(registry: str) -> str:
    """`https://index.docker.io/v1/` is `docker.io`; a path stays, for it narrows down."""
    host, _, path = re.sub(r"^https?://", "", registry).partition("/")
    path = re.sub(r"^v[12](/|$)", "", path).rstrip("/")
    host = DOCKER_HUB if host in ALSO_DOCKER_HUB else host
    return f"{host}/{path}" if path else host


def _matching(image: Image, known: Iterable[Login]) -> list[Login]:
    """As a kubelet does it: hosts may hold `*`, paths are prefixes, and the longest comes first."""
    host, path = repository(image)
    fitting = [login for login in known if _fits(login.registry, host, path)]
    return sorted(dict.fromkeys(fitting), key=lambda login: len(login.registry), reverse=True)


def _fits(registry: str, host: str, path: str) -> bool:
    wanted, _, below = registry.partition("/")
    same = wanted.count(".") == host.count(".") and fnmatch.fnmatchcase(host, wanted)
    return same and (not below or f"{path}/".startswith(f"{below}/"))


def tag(image: Image) -> str:
    """`:1`, `@sha256:...`, both, or nothing."""
    return image.name.removeprefix(_TAG.sub("", image.name))


def repository(image: Image) -> tuple[str, str]:
    """Host and path: `docker://busybox:1` is in docker.io, at library/busybox."""
    name = parse_image(image.name)
    return (name.host, name.path) if name else ("", "")


def local_path(image: Image) -> str:
    """The file or folder at the site; empty for an image of a registry."""
    name = parse_image(image.name) if image.name else None
    return name.path if name and name.is_local else ""
