"""What a pod's folder holds for its images: the file `images`, which job/pull.sh reads, and logins for registries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from remote_slurm.config import Config, ImagePull
from remote_slurm.domain.annotations import Annotations
from remote_slurm.domain.images import Image, Login, image_of, logins, pulled, repository
from remote_slurm.domain.pod import CreateRequest
from remote_slurm.domain.projections import File
from remote_slurm.domain.shell import assignments, quote, words
from remote_slurm.domain.started import Runtime
from remote_slurm.domain.volumes import Call

# Seen from the pod's folder
_DEFAULT_CACHE = "../.remote-slurm/images"
_MIB = 1 << 20

_IMAGES = """\
# The images of this pod, for pull.sh: file in the cache, imagePullPolicy, name, and the words that pull it
{settings}images() {{
{lines}}}
"""
_PLACES = """\
# Where the container runtime keeps what is its own; "$cache" and "$pod" are set by whoever reads this
temporary=$cache/.tmp
[ ! -d "$pod/scratch" ] || temporary=$pod/scratch/.tmp
mkdir -p "$temporary"
{places}{variables}"""


@dataclass(frozen=True, slots=True)
class Images:
    """`of` has the image of each container; `pulls`: some of them come from registries."""

    of: Mapping[str, Image]
    files: tuple[File, ...] = ()
    calls: tuple[Call, ...] = ()
    warnings: tuple[str, ...] = ()
    pulls: bool = field(default=False)


def plan_images(request: CreateRequest, annotations: Annotations, runtime: Runtime | None, config: Config) -> Images:
    """Raises Rejected for an image that the runtime cannot have."""
    containers = request.pod.spec.all_containers
    if runtime is None or request.job_script:
        return Images({each.name: Image("", "") for each in containers})
    prefix = annotations.image_root or config.image_prefix
    of = {each.name: image_of(each, prefix, runtime.suffix) for each in containers}
    wanted = pulled(of.values())
    known, warnings = logins(request, wanted, export=config.export_pod_data)
    before = runtime.before()
    files: list[File] = []
    calls: list[Call] = []
    if wanted or before or config.runtime_environment:
        files.append(File("runtime.sh", _places(runtime, config).encode(), 0o600))
        calls.append(("runtime_environment", _cache(config)))
    if wanted:
        files += [
            File("images", _images(wanted, runtime, config).encode(), 0o600),
            *(file for image in wanted for file in _login_files(image, known[image.key], runtime)),
        ]
        calls.append(("images", str(config.image_pull_retries), *of))
    if wanted and config.image_pull is not ImagePull.NODE:
        files.append(File("images.first", b"", 0o600))
    return Images(of, tuple(files), (*calls, *before), tuple(warnings), pulls=bool(wanted))


def image_calls(name: str, image: Image, runtime: Runtime | None) -> tuple[Call, ...]:
    """What the runner is told right before it starts the container of this name."""
    step = runtime.unpacking(name, image) if runtime else ()
    return (("from_image", image.key, *step),) if image.key or step else ()


def _cache(config: Config) -> str:
    return config.image_cache_folder or _DEFAULT_CACHE


def _images(wanted: list[Image], runtime: Runtime, config: Config) -> str:
    settings = {
        "cache": _cache(config),
        "mode": config.image_pull.value,
        "retries": str(config.image_pull_retries),
        "days": str(config.image_cache_days),
        "megabytes": str(-(-config.image_cache_size // _MIB)),
    }
    lines = (f"image {words((each.key, each.policy, each.name, *runtime.pull(each)))}\n" for each in wanted)
    return _IMAGES.format(settings=assignments(settings), lines="".join(lines))


def _places(runtime: Runtime, config: Config) -> str:
    variables = "".join(f"export {name}={quote(value)}\n" for name, value in config.runtime_environment.items())
    return _PLACES.format(places=runtime.places, variables=variables)


def _login_files(image: Image, known: list[Login], runtime: Runtime) -> Iterator[File]:
    host, _ = repository(image)
    for number, login in enumerate(known):
        name = f"secret/pull/{image.key}.{number}"
        for ending, text in runtime.login(login.user, login.password, host).items():
            yield File(f"{name}{ending or '.sh'}", text.encode(), 0o600)
