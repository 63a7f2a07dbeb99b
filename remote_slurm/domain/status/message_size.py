"""How long the messages of containers may be in a status."""

from __future__ import annotations

from remote_slurm.domain.pod.model import Pod

# Of all messages of a pod, as on a kubelet: MaxPodTerminationMessageLogLength of pkg/kubelet/container, which
# normalizeStatus in pkg/kubelet/status divides by all containers. Of one, the runner has left 4096 bytes at most.
_POD_BYTES = 12 * 1024
# The sentences that the runner puts behind a container's own message are shorter
_SENTENCE_BYTES = 256


def message_bytes(pod: Pod) -> int:
    """Return the maximum size of each message in a status of this pod."""
    return _POD_BYTES // max(1, len(pod.spec.all_containers))


def cut_message(message: str, size: int, *, keep_end: bool = False) -> str:
    """Cut the message to at most `size` bytes of UTF-8: its end, or with `keep_end` its middle."""
    whole = message.encode()
    if len(whole) <= size:
        return message
    end = whole[-min(_SENTENCE_BYTES, size // 2) :] if keep_end and size > 1 else b""
    return whole[: max(0, size - len(end))].decode(errors="ignore") + end.decode(errors="ignore")
