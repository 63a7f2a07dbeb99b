"""The names of images: what is well formed, and which ones a pattern of Policy.AllowedImages allows.

A name is parsed before it is compared: `docker://good.example.org/x@evil.example.com#a/b` begins like an image of one
registry, but Enroot would pull it from another. Names that runtimes could read in different ways are rejected.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import unquote

DOCKER_HUB = "docker.io"
# Names of Docker Hub in files that `docker login` writes
ALSO_DOCKER_HUB = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
FROM_REGISTRIES = ("docker", "oras", "library", "shub", "http", "https")
# Files and folders at the site in another form than the runtime's own
ARCHIVES = ("docker-archive", "oci-archive", "oci")

# What a registry can have (reference.go of github.com/distribution/reference)
_HOST = r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})(?P<mark>[/#]))?(?P<path>{_PART}(?:/{_PART})*)(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?"
    r"(?P<digest>@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]+)?"
)
# library:// and shub:// of Singularity: [HOST/]PATH[:TAG]
_LIBRARY = re.compile(
    r"/?[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]+)?(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*(?:[:@][A-Za-z0-9._:-]+)?"
)
_WEB = re.compile(rf"{_HOST}/[A-Za-z0-9._~/%+=,:-]*(?:\?[A-Za-z0-9._~/%+=,:&-]*)?")
_ANY_HOST = "*"


@dataclass(frozen=True, slots=True)
class ImageName:
    """A well-formed name. `host` is empty for a path at the site, and for the default server of library:// and shub://.

    `path` is absolute for a file or folder at the site; `suffix` is the tag or the digest of a reference.
    """

    scheme: str
    host: str
    path: str
    suffix: str = ""

    @property
    def is_local(self) -> bool:
        return self.path.startswith("/")


def parse_image(name: str) -> ImageName | None:
    """Return the parsed name, or None if it is not well formed."""
    scheme, separator, rest = name.partition("://")
    if not separator:
        scheme, rest = "", name
    if scheme in ("", *ARCHIVES):
        return ImageName(scheme, "", rest) if _is_path(rest) else None
    if scheme in ("docker", "oras"):
        return _reference(scheme, rest)
    if scheme in ("library", "shub"):
        return _split(scheme, rest.lstrip("/")) if _LIBRARY.fullmatch(rest) and not _climbs(rest) else None
    if scheme in ("http", "https"):
        return _split(scheme, rest) if _WEB.fullmatch(rest) and not _climbs(rest) else None
    return None


def normal_name(name: str) -> str:
    """Return the form of a name that is handed to runtimes: a path without `//` and `/./`, docker:// without a `#`.

    Of a tag and a digest only the digest counts, as for a kubelet; neither Apptainer nor Podman takes both.
    """
    scheme, separator, rest = name.partition("://")
    if not separator:
        climbs = ".." in name.split("/")
        return re.sub(r"^//", "/", posixpath.normpath(name)) if name.startswith("/") and not climbs else name
    if scheme == "docker" and (found := _REFERENCE.fullmatch(rest)):
        host = f"{found['host']}/" if found["host"] else ""
        return f"docker://{host}{found['path']}{found['digest'] or found['tag'] or ''}"
    return name


def _is_path(path: str) -> bool:
    return path.startswith("/") and not _climbs(path) and path.isprintable()


def _climbs(path: str) -> bool:
    return not {"..", "."}.isdisjoint(unquote(path).split("/"))


def _reference(scheme: str, reference: str) -> ImageName | None:
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        return None
    host, path, suffix = found["host"] or "", found["path"], found["digest"] or found["tag"] or ""
    if host and found["mark"] == "/" and not _is_host(host):
        host, path = "", f"{host}/{path}"
    if scheme == "oras":
        return ImageName(scheme, host, path, suffix) if host else None
    if host in {"", DOCKER_HUB} | ALSO_DOCKER_HUB:
        return ImageName(scheme, DOCKER_HUB, path if "/" in path else f"library/{path}", suffix)
    return ImageName(scheme, host, path, suffix)


def _is_host(first: str) -> bool:
    """As all runtimes decide whether the first part of a reference names a registry."""
    return "." in first or ":" in first or first == "localhost" or first.lower() != first


def _split(scheme: str, rest: str) -> ImageName:
    first, slash, path = rest.partition("/")
    if scheme in ("http", "https") or (slash and _is_host(first)):
        return ImageName(scheme, first, path)
    return ImageName(scheme, "", rest)


# --- patterns ---


def is_allowed_image(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns of Policy.AllowedImages allows the image."""
    image = parse_image(name)
    return image is not None and any(pattern == "*" or _matches(image, pattern) for pattern in patterns)


def wrong_image_pattern(pattern: str) -> str:
    """Why no image can match a pattern, as the end of a sentence; empty if one can."""
    scheme, separator, _ = pattern.partition("://")
    if pattern == "*" or pattern.startswith("/") or (separator and scheme in (*FROM_REGISTRIES, *ARCHIVES)):
        return ""
    schemes = ", ".join(f"{each}://" for each in (*FROM_REGISTRIES, *ARCHIVES))
    return f"it must be *, an absolute path at the site, or begin with one of {schemes}"


def _matches(image: ImageName, pattern: str) -> bool:
    scheme, separator, rest = pattern.partition("://")
    if not separator:
        scheme, rest = "", pattern
    if scheme != image.scheme:
        return False
    if image.is_local:
        return fnmatchcase(re.sub(r"/+", "/", image.path), rest)
    if rest == "*":
        return True
    host, path = _split_pattern(scheme, rest)
    if not _matches_host(image.host, host):
        return False
    suffixes = (image.suffix,) if image.suffix or scheme != "docker" else ("", ":latest")
    return any(fnmatchcase(f"{image.path}{suffix}", path) for suffix in suffixes)


def _split_pattern(scheme: str, rest: str) -> tuple[str, str]:
    first, mark, path = rest.partition("#") if "#" in rest else rest.partition("/")
    names_host = first == _ANY_HOST or _is_host(first) or mark == "#" or scheme in ("http", "https")
    if mark and names_host:
        host = DOCKER_HUB if scheme == "docker" and first in ALSO_DOCKER_HUB else first
        in_library = scheme == "docker" and host == DOCKER_HUB and "/" not in path and path != "*"
        return host, f"library/{path}" if in_library else path
    if scheme == "docker":
        return DOCKER_HUB, rest if "/" in rest else f"library/{rest}"
    return "", rest


def _matches_host(host: str, pattern: str) -> bool:
    """A `*` matches all hosts, or one label of a name (or a part of it), but no dot and no port."""
    if pattern == _ANY_HOST:
        return bool(host)
    labels, patterns = (re.split(r"[.:]", each) for each in (host, pattern))
    same_form = re.sub(r"[^.:]", "", host) == re.sub(r"[^.:]", "", pattern)
    return same_form and all(map(fnmatchcase, labels, patterns))
