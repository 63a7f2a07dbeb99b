"""What a pod's folder holds for its images: the file `images`, which job/pull.sh reads, and logins for registries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from remote_slurm.config import ImageConfig, ImagePull
from remote_slurm.domain.plan.file_transfer import IMAGES_FIRST, FileTransfer
from remote_slurm.domain.plan.fragment import PlanFragment
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.pod.model import CreateRequest
from remote_slurm.domain.runtimes.images import Image, Login, image_of, logins, pulled, repository
from remote_slurm.domain.runtimes.runtime import Runtime
from remote_slurm.domain.shell import Call, assignments, quote, words

# Seen from the pod's folder
_DEFAULT_CACHE = "../.remote-slurm/images"
_MIB = 1 << 20

_IMAGES = """\
# The images of this pod, for pull.sh: file in the cache, imagePullPolicy, name, and the words that pull it
{settings}images() {{
{lines}}}
"""
_PLACES = """\
# The folders of the container runtime; the script that reads this file sets "$cache" and "$pod"
temporary=$cache/.tmp
[ ! -d "$pod/scratch" ] || temporary=$pod/scratch/.tmp
mkdir -p "$temporary"
{places}{variables}"""


@dataclass(frozen=True, slots=True)
class Images:
    """`of` has the image of each container; `pulls` is true if one of the images comes from a registry."""

    of: Mapping[str, Image]
    fragment: PlanFragment = field(default_factory=PlanFragment)
    pulls: bool = field(default=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Each image once."""
        return tuple(dict.fromkeys(image.name for image in self.of.values() if image.name))


def plan_images(
    request: CreateRequest, image_root: str, runtime: Runtime, transfer: FileTransfer, config: ImageConfig
) -> Images:
    """Raises InvalidRequest for an image that the runtime cannot use. `image_root` is the annotation's."""
    containers = request.pod.spec.all_containers
    if not runtime.starts_containers or request.job_script:
        return Images({each.name: Image("", "") for each in containers})
    of = {each.name: image_of(each, image_root or config.prefix, runtime.image_suffix) for each in containers}
    wanted = pulled(of.values())
    known, warnings = logins(request, wanted, export=config.export_pod_data)
    if any(known.values()):
        transfer.check_secret("the pod has logins of imagePullSecrets")
    storage = runtime.storage_calls()
    files: list[File] = []
    calls: list[Call] = []
    if wanted or storage or config.environment:
        files.append(File("runtime.sh", _places(runtime, config).encode(), 0o600))
        calls.append(("runtime_environment", _cache(config)))
    if wanted:
        files += [
            File("images", _images(wanted, runtime, config).encode(), 0o600),
            *(file for image in wanted for file in _login_files(image, known[image.key], runtime)),
        ]
        calls.append(("images", f"retries={config.pull_retries}", *of))
    if wanted and config.pull is not ImagePull.NODE:
        files.append(File(IMAGES_FIRST, b"", 0o600))
    return Images(of, PlanFragment(tuple(files), (*calls, *storage), tuple(warnings)), pulls=bool(wanted))


def image_calls(name: str, image: Image, runtime: Runtime) -> tuple[Call, ...]:
    """Return the runner's calls for the image, right before it starts the container of this name."""
    step = runtime.unpack_call(name, image)
    return (("from_image", image.key, *step),) if image.key or step else ()


def _cache(config: ImageConfig) -> str:
    return config.cache_folder or _DEFAULT_CACHE


def _images(wanted: list[Image], runtime: Runtime, config: ImageConfig) -> str:
    settings = {
        "cache": _cache(config),
        "mode": config.pull.value,
        "retries": str(config.pull_retries),
        "days": str(config.cache_days),
        "megabytes": str(-(-config.cache_size // _MIB)),
    }
    lines = (f"image {words((each.key, each.policy, each.name, *runtime.pull_command(each)))}\n" for each in wanted)
    return _IMAGES.format(settings=assignments(settings), lines="".join(lines))


def _places(runtime: Runtime, config: ImageConfig) -> str:
    variables = "".join(f"export {name}={quote(value)}\n" for name, value in config.environment.items())
    return _PLACES.format(places=runtime.cache_settings(), variables=variables)


def _login_files(image: Image, known: list[Login], runtime: Runtime) -> Iterator[File]:
    host, _ = repository(image)
    for number, login in enumerate(known):
        name = f"secret/pull/{image.key}.{number}"
        for ending, text in runtime.login_files(login.user, login.password, host).items():
            yield File(f"{name}{ending or '.sh'}", text.encode(), 0o600)
