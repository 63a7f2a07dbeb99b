"""What takes a minute is begun with the first test at a site, so that nobody has to wait for it."""

from serving import Serving, wait_until


def test_a_job_over_its_time_limit_fails_its_pod_and_says_so(served: Serving) -> None:
    late = served.overdue
    assert late
    late.until_over(seconds=150)
    assert late.phase == "Failed"
    assert late.exit_code("c") != 0
    assert "time limit" in late.terminated("c")["message"]
    # Slurm forgets it after MinJobAge, and it was begun long ago
    wait_until(lambda: served.jobs_of(late.pod) in (["TIMEOUT"], []), "its job is TIMEOUT")


def test_a_deadline_of_a_full_minute_leaves_the_pod_its_pre_stop_and_its_grace_period(served: Serving) -> None:
    late = served.past_deadline
    assert late
    late.until_over(seconds=180)
    assert late.phase == "Failed"
    assert late.exit_code("c") == 3
    assert late.terminated("c")["message"].startswith("DeadlineExceeded")
    assert late.log("c") == "goodbye\n"
    # Slurm forgets it after MinJobAge, and it was begun long ago
    wait_until(lambda: served.jobs_of(late.pod) in (["FAILED"], []), "its job is FAILED")
