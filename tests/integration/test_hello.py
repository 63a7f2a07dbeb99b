"""The main job: a pod as interLink sends it runs as a real Slurm job, and status, log and exit code come back."""

import pytest
from pods import payload
from serving import Serving


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
    assert served.jobs_of(hello.pod) == ["COMPLETED"]

    hello.delete()
    served.until_gone(hello.pod)
    assert served.client.status(hello.pod).json == []


def test_a_pod_is_pending_then_running_then_succeeded(served: Serving) -> None:
    body = payload("create-hello.json")
    body["pod"]["spec"]["containers"][0] |= {"command": ["/bin/sh", "-c"], "args": ["sleep 3; echo done"]}
    hello = served.vk.create(body)
    hello.until_over()
    assert hello.phases == ["Pending", "Running", "Succeeded"]
    assert hello.log("hello") == "done\n"
    assert hello.terminated("hello")["startedAt"] < hello.terminated("hello")["finishedAt"]
