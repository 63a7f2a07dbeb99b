"""terminationMessagePath: the file in which a container tells why it ended.

The runner begins each run with an empty file and reads it at the end (job/messages.sh). Singularity and Apptainer bind
nothing below /dev of a contained container, which has a /dev of its own. So for a path there, such as the default, the
file lies elsewhere, and a script that the runtime runs inside before the container's command (each
/.singularity.d/env/*.sh) makes a link to it, by the image's own `ln`. Measured with Apptainer 1.4 on SIF files and
folders; without `ln` in the image there is no message. A folder that no Singularity has made lacks these scripts; once
there is one, the runtime leaves it to them to read the container's variables (action_script.sh of Apptainer).
"""

from __future__ import annotations

from remote_slurm.domain.pod import Container, Pod
from remote_slurm.domain.projections import File
from remote_slurm.domain.shell import quote
from remote_slurm.domain.volumes import Mount, refuse_bind_syntax
from remote_slurm.errors import Rejected

# Of all messages of a pod, as on a kubelet: MaxPodTerminationMessageLogLength of pkg/kubelet/container, which
# normalizeStatus in pkg/kubelet/status divides by all containers. Of one, the runner has left 4096 bytes at most.
_POD_BYTES = 12 * 1024
# The sidecar's own reasons, which stand behind a message, are shorter
_REASON_BYTES = 256

_BESIDE = "/.singularity.d/termination-log"
_SCRIPT = "/.singularity.d/env/99-termination-log.sh"
_LINK = """\
/bin/ln -sf {beside} {path} 2>/dev/null || /usr/bin/ln -sf {beside} {path} 2>/dev/null || :
if ! test -f /.singularity.d/env/99-base.sh; then
    source /.inject-apptainer-env.sh 2>/dev/null || source /.inject-singularity-env.sh 2>/dev/null || :
fi
"""


def message_bytes(pod: Pod) -> int:
    """How long each message of a container of this pod may be in a status."""
    return _POD_BYTES // max(1, len(pod.spec.all_containers))


def cut_message(message: str, size: int) -> str:
    """No more than `size` bytes of UTF-8. A reason at the end, behind the last `; `, stays as long as it has room."""
    whole = message.encode()
    if len(whole) <= size:
        return message
    _, separator, last = whole.rpartition(b"; ")
    reason = separator + last if separator and len(last) <= min(_REASON_BYTES, size // 2) else b""
    return (whole[: size - len(reason)] + reason).decode(errors="ignore")


def message_file(container: Container) -> str:
    """Where it lies in the pod's folder."""
    return f"messages/{container.name}"


def checked_path(container: Container) -> str:
    """The path in the container. Raises Rejected for one that is none."""
    path = container.termination_message_path
    what = f"terminationMessagePath of container '{container.name}'"
    if not path.startswith("/"):
        raise Rejected(f"{what} is '{path}', which is not absolute")
    refuse_bind_syntax(path, what)
    return path


def is_below_dev(path: str) -> bool:
    return path.startswith("/dev/")


def linked(container: Container, file: str) -> tuple[Mount, ...]:
    """What Singularity and Apptainer bind."""
    path = container.termination_message_path
    if not is_below_dev(path):
        return (Mount(file, path, read_only=False),)
    return (Mount(file, _BESIDE, read_only=False), Mount(_link_script(container), _SCRIPT, read_only=True))


def link_scripts(mounts: tuple[Mount, ...], container: Container) -> tuple[File, ...]:
    """The script that makes the link, where one is bound."""
    if not any(mount.target == _SCRIPT for mount in mounts):
        return ()
    text = _LINK.format(beside=_BESIDE, path=quote(container.termination_message_path))
    return (File(_link_script(container), text.encode(), 0o600),)


def _link_script(container: Container) -> str:
    return f"messages/links/{container.name}.sh"
