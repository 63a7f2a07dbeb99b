"""What takes a minute is begun with the first test at a site, so that no test has to wait for it."""

from tests.serving import Serving
from tests.shared_folder import in_folder


def test_a_job_over_its_time_limit_fails_its_pod_and_says_so(served: Serving) -> None:
    late = served.early["overdue"]
    assert late
    late.until_over()
    assert late.phase == "Failed"
    assert late.exit_code("c") != 0
    assert "time limit" in late.terminated("c")["message"]
    served.until_jobs(late.pod, "TIMEOUT")


def test_pre_stop_runs_ahead_of_the_time_limit(served: Serving) -> None:
    limited = served.early["near_limit"]
    assert limited
    limited.until_over()
    assert limited.phase == "Failed"
    assert limited.exit_code("c") == 143
    assert in_folder(served, limited.pod, "order").split() == ["hook", "told"]
    assert "time limit" in limited.terminated("c")["message"] or "told to stop" in limited.terminated("c")["message"]
    served.until_jobs(limited.pod, "FAILED")  # it has ended before Slurm had to end it


def test_a_deadline_leaves_pre_stop_and_grace_period(served: Serving) -> None:
    late = served.early["past_deadline"]
    assert late
    late.until_over()
    assert late.phase == "Failed"
    assert late.exit_code("c") == 3
    assert late.terminated("c")["message"].startswith("DeadlineExceeded")
    assert late.log("c") == "goodbye\n"
    served.until_jobs(late.pod, "FAILED")
