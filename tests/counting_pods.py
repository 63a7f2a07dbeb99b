"""Pods that count how often their container ran: what must be once, whatever breaks."""

from typing import Any

from tests.pods import Json, key, pod, sh
from tests.serving import Serving


def counting(script: str = "sleep 2", **keys: Any) -> tuple[Json, str]:
    """A pod that adds a line to a file on the node each time that it runs; and that file."""
    a_pod = pod(sh("c", ""), volumes=[{"name": "out", "hostPath": {"path": "", "type": "DirectoryOrCreate"}}], **keys)
    folder = f"/tmp/{key(a_pod)}"
    a_pod["spec"]["volumes"][0]["hostPath"]["path"] = folder
    a_pod["spec"]["containers"][0] |= {
        "args": [f"echo ran >> {folder}/out; {script}"],
        "volumeMounts": [{"name": "out", "mountPath": folder}],
    }
    return a_pod, f"{folder}/out"


def ran_once(served: Serving, a_pod: Json, out: str) -> bool:
    """One job, and its container ran one time."""
    assert len(served.jobs_of(a_pod)) == 1, served.jobs_of(a_pod)
    return served.site.exec(f"cat {out}") == "ran\n"
