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

from remote_slurm.domain.pod import Container, CreateRequest
from remote_slurm.errors import Rejected

_FROM_REGISTRIES = ("docker", "oras", "library", "shub", "http", "https")
_POLICIES = ("Never", "IfNotPresent", "Always")
DOCKER_HUB = "docker.io"
_TAG = re.compile(r"(:[^/:@]+)?(@[^@]+)?$")
# Under these names Docker Hub stands in files that `docker login` writes
_ALSO_DOCKER_HUB = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_READABLE = 80

# What a registry can have (reference.go of github.com/distribution/reference); enroot's own form has a # in it
_HOST = r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_HOST}/)?{_PART}(?:/{_PART})*)(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?"
    r"(?P<digest>@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]+)?"
)


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
    """An absolute path, or anything with a scheme, stays as it is. Raises Rejected where there is no name of one."""
    if not container.image:
        raise Rejected(f"container '{container.name}' has no image")
    plain = container.image.startswith("/") or "://" in container.image
    name = container.image if plain else f"{prefix or 'docker://'}{container.image}"
    scheme, separator, rest = name.partition("://")
    if not _is_a_name(name) or (separator and not _is_a_name(rest)):
        raise Rejected(f"container '{container.name}' has the image {container.image!r}, which is not the name of one")
    if scheme == "docker" and "#" not in rest:
        name = f"docker://{_reference(container, rest)}"
    key = _key(rest, name, suffix) if separator and scheme in _FROM_REGISTRIES else ""
    return Image(name, _policy(container, rest), key)


def _reference(container: Container, reference: str) -> str:
    """As runtimes take it: of a tag and a digest only the digest, which is all that counts for a kubelet, too."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise Rejected(
            f"container '{container.name}' has the image {container.image!r}, which is not the name of one in a "
            "registry, [HOST[:PORT]/]PATH[:TAG] or [HOST[:PORT]/]PATH@DIGEST without capital letters in PATH; a file "
            "is named by its whole path"
        )
    return found["name"] + (found["digest"] or found["tag"] or "")


def _is_a_name(text: str) -> bool:
    """What begins with a dash would be an option to the runtime; more than a line, an answer of our own scripts."""
    return text.isprintable() and not text.startswith("-")


def _key(rest: str, name: str, suffix: str) -> str:
    """A file name that a person can read, and that no other image has."""
    readable = re.sub(r"[^A-Za-z0-9._]+", "-", rest)[-_READABLE:].lstrip("-.")
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}{suffix}"


def _policy(container: Container, reference: str) -> str:
    """Kubernetes fills it in: Always for the tag `latest` and for none, else IfNotPresent."""
    policy = container.image_pull_policy
    if policy and policy not in _POLICIES:
        raise Rejected(
            f"container '{container.name}' has the imagePullPolicy '{policy}', which Kubernetes does not know: "
            f"{', '.join(_POLICIES)} it does"
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


def pull_word(words: str) -> str:
    """A kubelet's word for why an image cannot be had, by what job/pull.sh says: job/images.sh has the same."""
    return "ErrImageNeverPull" if " is not in the cache, and " in words else "ErrImagePull"


# --- credentials ---


def logins(
    request: CreateRequest, images: Iterable[Image], *, export: bool
) -> tuple[Mapping[str, list[Login]], list[str]]:
    """By an image's key who may pull it, the best match first; and warnings. Raises Rejected.

    `export` says whether Secrets of the request may leave Kubernetes. The Virtual Kubelet (0.7) does not send the
    Secrets that imagePullSecrets names; those that a volume or variable needs too are there.
    """
    known: list[Login] = []
    warnings = []
    for name in dict.fromkeys(each.name for each in request.pod.spec.image_pull_secrets):
        contents = list(_contents(request, name, export=export))
        known += [login for content in contents for login in _read(name, content)]
        if not contents:
            warnings.append(
                f"imagePullSecrets '{name}' does not come with the pod, and ImagePullSecrets names no file for it: "
                "images are pulled without it (see CUSTOMKUBECONF, too)"
            )
    return {image.key: _matching(image, known) for image in images}, warnings


def _contents(request: CreateRequest, name: str, *, export: bool) -> Iterator[Mapping[str, bytes]]:
    for secret in request.pull_secrets:
        if secret.metadata.name == name:
            yield secret.content()
            return
    for data in request.container:
        for secret in data.secrets:
            if secret.metadata.name == name:
                if not export:
                    raise Rejected(
                        f"the images of pod {request.pod.full_name} need Secret '{name}', and ExportPodData is false: "
                        "it may not leave Kubernetes"
                    )
                yield secret.content()
                return


def _read(name: str, content: Mapping[str, bytes]) -> Iterator[Login]:
    """The keys of Secrets of the types kubernetes.io/dockerconfigjson and kubernetes.io/dockercfg."""
    text = content.get(".dockerconfigjson") or content.get(".dockercfg")
    try:
        whole = json.loads(text or b"")
        auths = whole["auths"] if ".dockerconfigjson" in content else whole
        found = [(registry, *_user(entry)) for registry, entry in auths.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Rejected(
            f"imagePullSecrets '{name}' cannot be read: a Secret with .dockerconfigjson is needed, as `kubectl create "
            "secret docker-registry` makes it"
        ) from None
    for registry, user, password in found:
        if user:
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
    host = DOCKER_HUB if host in _ALSO_DOCKER_HUB else host
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
    reference = _TAG.sub("", image.name.partition("://")[2].lstrip("/"))
    first, slash, rest = reference.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return DOCKER_HUB, reference if slash else f"library/{reference}"
    return (DOCKER_HUB if first in _ALSO_DOCKER_HUB else first), rest
