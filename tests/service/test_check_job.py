"""The job of `remote-slurm check --job` is the operator's own: rules for pods do not refuse it."""

from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.service.check_job import JobOptions, _for_the_check, _request
from tests.domain.podspec import config


def test_rules_for_pods_do_not_refuse_it() -> None:
    strict = config(
        Policy={"AllowedAnnotations": [], "AllowedImages": [], "ForcedFlags": ["--account=k8s"]},
        Policies={"team": {"Namespaces": ["team"]}},
    )
    own = _for_the_check(strict)
    plan = plan_job(_request(own, JobOptions(flags="", timeout=60)), own)
    assert "--account=k8s" in [flag.line().removeprefix("#SBATCH ") for flag in plan.flags]
