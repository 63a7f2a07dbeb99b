"""Events as the API server takes them: tests/kube_api.py refuses what kube-apiserver refuses."""

from pathlib import Path

import pytest

from remote_slurm.domain.pod.model import Metadata
from remote_slurm.domain.status.pod_events import PodEvent
from remote_slurm.service.kubernetes_api import Cluster
from tests.kube_api import kube_api

MESSAGES = {
    "long": "x" * 5000,
    "accents": "é" * 3000,
    "odd": "x" + "é" * 3000,
    "empty": "",
    "usual": "used 4% of 1 CPU",
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
async def test_a_message_of_any_length_and_alphabet_arrives(tmp_path: Path, message: str) -> None:
    with kube_api() as api:
        cluster = Cluster(api.kubeconfig(tmp_path))
        await cluster.create_event(Metadata(name="p", namespace="ns", uid="u"), PodEvent("k", "Failed", message))
        (event,) = api.events
    assert message.startswith(event["message"])
    assert len(event["message"].encode()) >= min(1023, len(message.encode()))
