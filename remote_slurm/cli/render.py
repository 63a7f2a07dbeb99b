"""`remote-slurm render`: the job that a pod becomes."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from remote_slurm.cli.documents import read_documents
from remote_slurm.cli.options import (
    add_config_options,
    add_file_namespace_option,
    add_output_option,
    add_pod_file_argument,
    configured,
)
from remote_slurm.cli.request import create_request, parsed
from remote_slurm.cli.screen import Colour, Screen
from remote_slurm.config import AccountConfig
from remote_slurm.domain.plan.job_plan import JobPlan, plan_job
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.plan.script import CONTAINERS, job_files
from remote_slurm.domain.pod.account import identity_of
from remote_slurm.job import SCRIPTS
from remote_slurm.service.pull_secrets import with_pull_secrets

_HELP = """\
Print the batch script of a pod, and its files with their modes and sizes. The command makes no connection and sends
nothing. Contents of Secrets and values of environment variables are not printed.
"""

_EXAMPLES = """\
examples:
  remote-slurm render --config SlurmConfig.yaml pod.yaml
  remote-slurm render --config SlurmConfig.yaml --set ContainerRuntime=none pod.yaml
  remote-slurm render --config SlurmConfig.yaml --output json pod.yaml | jq -r .script >job.sh
  kubectl get pod hello -o yaml | remote-slurm render --config SlurmConfig.yaml -
"""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_pod_file_argument(parser)
    add_file_namespace_option(parser)
    add_config_options(parser)
    add_output_option(parser)


def run(arguments: argparse.Namespace) -> int:
    config = configured(arguments)
    documents = read_documents(arguments.pod, arguments.namespace)
    request = parsed(create_request(documents), documents.source)
    config = config.accounts[identity_of(request.pod, AccountConfig.from_config(config))]
    request = with_pull_secrets(request, config)
    plan = plan_job(request, config)
    files = job_files(plan, SCRIPTS)
    if arguments.output == "json":
        print(json.dumps(_as_json(plan, files), indent=2))
    else:
        _show(plan, files)
    return 0


def _show(plan: JobPlan, files: list[File]) -> None:
    print(_script(files), end="")
    print(f"\n# The files of the folder {plan.pod} at the site\n")
    for file in files:
        size = "-" if file.content is None else str(len(file.content))
        print(f"{file.mode:04o}  {size:>9}  {file.path}{'/' if file.content is None else ''}")
    screen = Screen(sys.stderr)
    for warning in plan.warnings:
        screen.line(f"{screen.paint('warning:', Colour.WARNING)} {warning}")


def _as_json(plan: JobPlan, files: list[File]) -> dict[str, Any]:
    return {
        "pod": plan.pod,
        "script": _script(files),
        "files": [
            {
                "path": file.path,
                "mode": f"{file.mode:04o}",
                "size": None if file.content is None else len(file.content),
            }
            for file in files
        ],
        "warnings": list(plan.warnings),
    }


def _script(files: list[File]) -> str:
    """All that is made for the pod alone, in the order in which it runs."""
    texts = [(file.content or b"").decode() for file in files if file.path in ("job.sh", CONTAINERS)]
    return f"\n# --- {CONTAINERS}\n".join(texts)
