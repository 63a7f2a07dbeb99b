"""The job of `remote-slurm check --job` is the operator's own: rules for pods do not refuse it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.job import CHECK_NODE
from remote_slurm.service.check.job import JobOptions, _http_client, _request
from remote_slurm.service.check.submission import without_rules
from remote_slurm.site.reply import Reply
from tests.domain.podspec import config


def test_rules_for_pods_do_not_refuse_it() -> None:
    strict = config(
        Policy={"AllowedAnnotations": [], "AllowedImages": [], "ForcedFlags": ["--account=k8s"]},
        Policies={"team": {"Namespaces": ["team"]}},
    )
    own = without_rules(strict)
    plan = plan_job(_request(own, JobOptions(flags="", timeout=60)), own)
    assert "--account=k8s" in [flag.line().removeprefix("#SBATCH ") for flag in plan.flags]


@pytest.mark.parametrize("client", ["curl", "wget", ""])
def test_it_reports_the_http_client_of_the_node(tmp_path: Path, client: str) -> None:
    for name in ("sh", "uname", "date", "rm", "unshare", "true"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    if client:
        (tmp_path / client).write_text("#!/bin/sh\n")
        (tmp_path / client).chmod(0o755)
    environment = {"PATH": str(tmp_path), "SLURM_SUBMIT_DIR": os.devnull}
    script = f"runtime=''\n{CHECK_NODE}"
    ran = subprocess.run(["/bin/sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    found = _http_client(Reply.parse("check-node", ran.stdout))
    if client:
        assert found.message == f"{tmp_path}/{client} for the httpGet of probes and hooks"
    else:
        assert found.message == "the node has neither curl nor wget: pods whose probes or hooks use httpGet fail"
        assert found.remedy == "ask the site to install curl on its nodes"
