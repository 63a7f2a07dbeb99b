"""Tokens of Kubernetes service accounts: the API decides, seldom, and nothing is admitted without it."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pytest

from remote_slurm.service.kubernetes_api import Reviewed
from remote_slurm.service.token_reviews import InvalidToken, ReviewFailed, ServiceAccount, TokenReviews
from tests.kube_api import forged

OURS = ("remote-slurm",)
NOW = 1_800_000_000.0
GOOD = Reviewed(authenticated=True, user="system:serviceaccount:team:default", audiences=OURS)


@dataclass
class Api:
    """Answers each review in the same way."""

    answer: Reviewed | None = GOOD
    asked: int = 0
    held: asyncio.Event = field(default_factory=asyncio.Event)

    async def review_token(self, token: str, audiences: Collection[str]) -> Reviewed | None:
        assert audiences == OURS
        assert token
        self.asked += 1
        if not self.held.is_set():
            await asyncio.sleep(0)
        return self.answer


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def token(number: int = 0, **claims: Any) -> str:
    return forged({"aud": ["remote-slurm"], "exp": NOW + 3600, **claims}, f"signature-{number}")


async def test_an_accepted_token_is_kept_for_a_while() -> None:
    api, clock = Api(), Clock()
    reviews = TokenReviews(api, OURS, clock)
    assert [await reviews.review(token()) for _ in range(3)] == [ServiceAccount("team", "default")] * 3
    assert api.asked == 1
    clock.now += 121
    await reviews.review(token())
    assert api.asked == 2


async def test_a_token_is_not_kept_beyond_its_end() -> None:
    api, clock = Api(), Clock()
    reviews = TokenReviews(api, OURS, clock)
    await reviews.review(token(exp=NOW + 10))
    clock.now += 11
    api.answer = Reviewed(authenticated=False, error="service account token has expired")
    with pytest.raises(
        InvalidToken, match="rejects the token for the audience remote-slurm: service account token has"
    ):
        await reviews.review(token(exp=NOW + 10))


async def test_connections_at_the_same_time_share_one_review() -> None:
    api = Api()
    reviews = TokenReviews(api, OURS, Clock())
    await asyncio.gather(*(reviews.review(token()) for _ in range(50)))
    assert api.asked == 1


async def test_a_client_that_goes_away_takes_no_other_with_it() -> None:
    api = Api()
    reviews = TokenReviews(api, OURS, Clock())
    first, second = (asyncio.create_task(reviews.review(token())) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ServiceAccount("team", "default")


async def test_very_many_tokens_are_neither_kept_nor_reviewed_at_once() -> None:
    api = Api()
    reviews = TokenReviews(api, OURS, Clock())
    for number in range(1100):
        await reviews.review(token(number))
    assert len(reviews._kept) == 1000
    asked = api.asked
    outcomes = await asyncio.gather(*(reviews.review(token(2000 + n)) for n in range(100)), return_exceptions=True)
    assert sum(isinstance(each, ReviewFailed) for each in outcomes) == 68
    assert api.asked == asked + 32


async def test_nothing_is_admitted_without_the_api() -> None:
    reviews = TokenReviews(Api(None), OURS, Clock())
    with pytest.raises(ReviewFailed, match="the Kubernetes API did not review the token"):
        await reviews.review(token())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Reviewed(authenticated=False), "rejects the token for the audience remote-slurm$"),
        # an API server, or a webhook of it, that ignores audiences (tektoncd/results issue 1331, spiffe/spire 5142)
        (Reviewed(authenticated=True, user=GOOD.user), "rejects the token for the audience"),
        (Reviewed(authenticated=True, user=GOOD.user, audiences=("other",)), "rejects the token for the audience"),
        (Reviewed(authenticated=True, user="alice", audiences=OURS), "is not that of a service account"),
        (Reviewed(authenticated=True, user="system:serviceaccount:a*:b", audiences=OURS), "not that of a service"),
        (Reviewed(authenticated=True, user="system:serviceaccount:a", audiences=OURS), "not that of a service account"),
    ],
)
async def test_what_the_api_says_is_checked(answer: Reviewed, why: str) -> None:
    with pytest.raises(InvalidToken, match=why):
        await TokenReviews(Api(answer), OURS, Clock()).review(token())


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ("", "is not that of a service account"),
        ("0123456789abcdef", "is not that of a service account"),
        ("a.b.c", "is not that of a service account"),
        ("..", "is not that of a service account"),
        ("a.b.c.d", "is not that of a service account"),
        ("ä.ö.ü", "is not that of a service account"),
        (forged([1]), "is not that of a service account"),
        (forged("[" * 5000), "is not that of a service account"),
        (forged({}), "is not for the audience remote-slurm"),
        (token(aud="other"), "is not for the audience remote-slurm"),
        (token(aud=[["remote-slurm"], None, {}]), "is not for the audience remote-slurm"),
        (token(aud={"remote-slurm": 1}), "is not for the audience remote-slurm"),
        (token(exp=None), "has no end"),
        (token(exp="4000000000"), "has no end"),
        (token(exp=True), "has no end"),
        (token(exp=float("inf")), "has no end"),
        (token(exp=float("nan")), "has no end"),
        (token(exp=NOW - 3600), "has expired"),
    ],
)
async def test_what_would_be_rejected_for_certain_is_not_asked_for(sent: str, why: str) -> None:
    api = Api()
    with pytest.raises(InvalidToken, match=why):
        await TokenReviews(api, OURS, Clock()).review(sent)
    assert not api.asked


async def test_one_audience_may_be_a_string() -> None:
    assert await TokenReviews(Api(), OURS, Clock()).review(token(aud="remote-slurm"))
