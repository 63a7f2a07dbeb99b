"""The main job: a pod as interLink sends it runs as a real Slurm job, and status, log and exit code come back."""

import pytest

from tests.pods import payload, request
from tests.serving import Serving
from tests.shared_folder import go_on, held


@pytest.mark.parametrize("body", ["create-hello.json", "create-hello-0.4.json"])
def test_a_pod_runs_from_create_to_delete(served: Serving, body: str) -> None:
    hello = served.vk.create(payload(body))
    hello.until_over()
    assert hello.phases in (["Pending", "Succeeded"], ["Pending", "Running", "Succeeded"])
    assert hello.status
    assert hello.status["JID"] == hello.job
    assert hello.exit_code("hello") == 0
    assert hello.terminated("hello")["reason"] == "Completed"
    assert hello.log("hello") == "hello world\n"
    served.until_jobs(hello.pod, "COMPLETED")

    hello.delete()
    served.until_gone(hello.pod)
    assert served.client.status(hello.pod).json == []


def test_a_pod_is_pending_then_running_then_succeeded(served: Serving) -> None:
    hello = served.vk.create(request(held("sleep 1; echo done"))).until("Running")
    go_on(served, hello.pod)
    hello.until_over()
    assert hello.phases == ["Pending", "Running", "Succeeded"]
    assert hello.log("c") == "done\n"
    assert hello.terminated("c")["startedAt"] < hello.terminated("c")["finishedAt"]
