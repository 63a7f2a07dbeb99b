"""How often a site is asked, on a clock that the test moves."""

from pathlib import Path

import pytest
from tenacity import wait_exponential, wait_fixed

from remote_slurm.errors import AuthenticationRefused, HostKeyRefused, SiteError, Unreachable
from remote_slurm.ssh.circuit_breaker import CircuitBreaker, Pace

REFUSALS = [HostKeyRefused("the host key changed"), AuthenticationRefused("the key is refused", ("publickey",))]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_after_a_failure_everybody_gets_the_error_until_the_wait_is_over(clock: Clock) -> None:
    breaker = CircuitBreaker(Pace(waits=wait_fixed(5)), [], clock)
    breaker.attempt()
    breaker.failed(Unreachable("it is down"))
    with pytest.raises(Unreachable, match="it is down"):
        breaker.attempt()
    assert breaker.seconds_left == 5
    clock.now += 5
    breaker.attempt()


def test_waits_grow_with_failures_and_start_anew_after_a_success(clock: Clock) -> None:
    breaker = CircuitBreaker(Pace(waits=wait_exponential(multiplier=1)), [], clock)
    waits = []
    for _ in range(4):
        breaker.failed(Unreachable("it is down"))
        waits.append(breaker.seconds_left)
    assert waits == [1, 2, 4, 8]
    breaker.succeeded()
    assert breaker.seconds_left == 0
    breaker.failed(Unreachable("it is down"))
    assert breaker.seconds_left == 1


def test_the_usual_waits_are_jittered_and_bounded(clock: Clock) -> None:
    breaker = CircuitBreaker(Pace(), [], clock)
    waits = []
    for _ in range(50):
        breaker.failed(Unreachable("it is down"))
        waits.append(breaker.seconds_left)
    assert all(0.5 <= wait <= 60 for wait in waits)
    assert len(set(waits)) > 10


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: type(error).__name__)
def test_after_a_refusal_nothing_is_tried_for_half_an_hour(clock: Clock, refusal: SiteError) -> None:
    breaker = CircuitBreaker(Pace(), [], clock)
    breaker.failed(refusal)
    clock.now += 30 * 60 - 1
    with pytest.raises(type(refusal)) as again:
        breaker.attempt()
    assert vars(again.value) == vars(refusal)
    clock.now += 1
    breaker.attempt()


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: type(error).__name__)
def test_after_a_refusal_a_changed_file_is_tried_at_once(clock: Clock, refusal: SiteError, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    breaker = CircuitBreaker(Pace(), [known_hosts], clock)
    breaker.failed(refusal)
    with pytest.raises(type(refusal)):
        breaker.attempt()
    known_hosts.write_text("corrected")
    breaker.attempt()


def test_a_changed_file_does_not_make_an_unreachable_site_reachable(clock: Clock, tmp_path: Path) -> None:
    breaker = CircuitBreaker(Pace(waits=wait_fixed(5)), [tmp_path / "key"], clock)
    breaker.failed(Unreachable("it is down"))
    (tmp_path / "key").write_text("new")
    with pytest.raises(Unreachable):
        breaker.attempt()


def test_never_more_than_so_many_attempts_in_a_minute(clock: Clock) -> None:
    breaker = CircuitBreaker(Pace(per_minute=3), [], clock)
    for _ in range(3):
        breaker.attempt()
        breaker.succeeded()
        clock.now += 1
    with pytest.raises(Unreachable, match="3 connections within a minute"):
        breaker.attempt()
    clock.now += 57
    breaker.attempt()
