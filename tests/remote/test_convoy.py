"""Pods that arrive together travel together, and each is answered by itself."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from remote_slurm.errors import NotSent, OutcomeUnknown, RemoteFailed, SiteError
from remote_slurm.remote.convoy import (
    MOST_BYTES,
    MOST_PODS,
    RUNS,
    Answers,
    Attempted,
    Convoy,
    Deleted,
    Pulling,
    SbatchFailed,
    Stored,
    Submission,
    Submitted,
    Unpullable,
    Withdrawn,
    submission,
    withdrawal,
)

Submissions = Convoy[bytes, Submission]


class FakeSend:
    """A site that holds every script until the test lets it speak."""

    def __init__(self) -> None:
        self.runs: list[tuple[Mapping[str, bytes], Callable[[bytes], None], asyncio.Future[None]]] = []

    def __call__(self, payloads: Mapping[str, bytes], heard: Callable[[bytes], None]) -> asyncio.Future[None]:
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.runs.append((payloads, heard, end))
        return end

    @property
    def groups(self) -> list[list[str]]:
        return [list(payloads) for payloads, _, _ in self.runs]

    async def submit_all(self, run: int) -> None:
        payloads, heard, end = self.runs[run]
        heard("".join(f">submitted {pod} 7\n" for pod in payloads).encode())
        end.set_result(None)
        await _settled()

    async def fail(self, run: int, error: SiteError) -> None:
        self.runs[run][2].set_exception(error)
        await _settled()


@pytest.fixture
def site() -> FakeSend:
    return FakeSend()


@pytest.fixture
async def convoy(site: FakeSend) -> Submissions:
    return Convoy(site, submission)


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def create(convoy: Submissions, *pods: str, payload: bytes = b"x") -> list[asyncio.Task[Submission]]:
    tasks = [asyncio.create_task(convoy.ask(pod, payload)) for pod in pods]
    await _settled()
    return tasks


async def test_a_pod_that_comes_alone_leaves_at_once(convoy: Submissions, site: FakeSend) -> None:
    (asked,) = await create(convoy, "ns-1")
    assert site.groups == [["ns-1"]]
    await site.submit_all(0)
    assert await asked == Submitted("7")


async def test_pods_that_come_while_all_scripts_are_under_way_share_the_next_ones(
    convoy: Submissions, site: FakeSend
) -> None:
    first = await create(convoy, *(f"early-{n}" for n in range(RUNS)))
    assert site.groups == [[f"early-{n}"] for n in range(RUNS)]
    late = await create(convoy, *(f"late-{n}" for n in range(2 * RUNS)))
    assert len(site.runs) == RUNS
    for run in range(RUNS):
        await site.submit_all(run)
    assert site.groups[RUNS:] == [["late-0", "late-1"], ["late-2", "late-3"], ["late-4"], ["late-5"]]
    for run in range(RUNS, RUNS + 4):
        await site.submit_all(run)
    for run in range(RUNS + 4, len(site.runs)):
        await site.submit_all(run)
    assert [await each for each in first + late] == [Submitted("7")] * (3 * RUNS)
    assert sum(map(len, site.groups)) == 3 * RUNS


async def test_each_pod_is_answered_when_the_site_tells_it_and_not_when_the_last_one_is(
    convoy: Submissions, site: FakeSend
) -> None:
    await create(convoy, *(f"early-{n}" for n in range(RUNS)))
    tasks = await create(convoy, *(f"ns-{n}" for n in range(2 * RUNS)))
    await site.submit_all(0)
    _, heard, _ = site.runs[RUNS]
    heard(b">root /home/jobs\n>submitted ns-1 4")
    await _settled()
    assert [each.done() for each in tasks[:2]] == [False, False]
    heard(b"2\n")
    assert await tasks[1] == Submitted("42")
    assert not tasks[0].done()


async def test_an_error_is_told_to_those_who_have_no_answer_yet(convoy: Submissions, site: FakeSend) -> None:
    await create(convoy, *(f"early-{n}" for n in range(RUNS)))
    tasks = await create(convoy, *(f"ns-{n}" for n in range(2 * RUNS)))
    await site.submit_all(0)
    _, heard, _ = site.runs[RUNS]
    heard(b">submitted ns-0 1\n")
    await site.fail(RUNS, NotSent("the line is dead"))
    assert await tasks[0] == Submitted("1")
    with pytest.raises(NotSent, match="the line is dead"):
        await tasks[1]


async def test_a_pod_that_the_site_says_nothing_of_has_an_unknown_outcome(convoy: Submissions, site: FakeSend) -> None:
    (asked,) = await create(convoy, "ns-1")
    site.runs[0][2].set_result(None)
    with pytest.raises(OutcomeUnknown):
        await asked


async def test_who_stops_waiting_before_it_leaves_does_not_travel(convoy: Submissions, site: FakeSend) -> None:
    await create(convoy, *(f"early-{n}" for n in range(RUNS)))
    gone, stays = await create(convoy, "gone", "stays")
    gone.cancel()
    await _settled()
    await site.submit_all(0)
    assert site.groups[RUNS:] == [["stays"]]
    await site.submit_all(RUNS)
    assert await stays == Submitted("7")


async def test_one_who_stops_waiting_on_the_way_stops_nobody_else(convoy: Submissions, site: FakeSend) -> None:
    first, *_ = await create(convoy, *(f"early-{n}" for n in range(RUNS)))
    first.cancel()
    await _settled()
    await site.submit_all(0)
    (asked,) = await create(convoy, "ns-1")
    await site.submit_all(RUNS)
    assert await asked == Submitted("7")


async def test_the_same_pod_twice_is_never_twice_in_one_script(convoy: Submissions, site: FakeSend) -> None:
    await create(convoy, *(f"early-{n}" for n in range(RUNS)))
    tasks = await create(convoy, *["ns-1"] * (2 * RUNS))
    for run in range(RUNS):
        await site.submit_all(run)
    while len(site.runs) < RUNS + 2 * RUNS:
        await site.submit_all(next(number for number, (_, _, end) in enumerate(site.runs) if not end.done()))
    assert all(group == ["ns-1"] for group in site.groups[RUNS:])
    for run in range(RUNS, 3 * RUNS):
        if not site.runs[run][2].done():
            await site.submit_all(run)
    assert [await each for each in tasks] == [Submitted("7")] * (2 * RUNS)


async def test_a_script_takes_no_more_along_than_arrives_in_time(convoy: Submissions, site: FakeSend) -> None:
    await create(convoy, *(f"early-{n}" for n in range(RUNS)))
    await create(convoy, *(f"ns-{n}" for n in range(MOST_PODS * RUNS * 2)))
    await site.submit_all(0)
    assert len(site.groups[-1]) == MOST_PODS


async def test_a_large_pod_travels_alone(convoy: Submissions, site: FakeSend) -> None:
    await create(convoy, *(f"early-{n}" for n in range(RUNS)))
    await create(convoy, "large", payload=bytes(MOST_BYTES))
    await create(convoy, *(f"ns-{n}" for n in range(2 * RUNS)))
    await site.submit_all(0)
    assert site.groups[-1] == ["large"]


@pytest.mark.parametrize(
    ("output", "outcome"),
    [
        (b">submitted ns-1 42\n", Submitted("42")),
        (b">said ns-1 \n>said ns-1 sbatch: error: no\n>failed ns-1 1\n", SbatchFailed("\nsbatch: error: no")),
        (b">said ns-1 >submitted ns-1 9\n>failed ns-1 1\n", SbatchFailed(">submitted ns-1 9")),
        (b">said ns-2 theirs\n>failed ns-1 1\n", SbatchFailed("")),
        (b"> \nnoise\xff\n>attempted ns-1\n", Attempted()),
        (b">deleted ns-1\n", Deleted()),
        (b">stored ns-1\n", Stored()),
        (b">pulling ns-1 docker://a:1\n", Pulling(image="docker://a:1")),
        (b">failing ns-1 FATAL: no\n", Pulling(failure="FATAL: no")),
        (b">unpullable ns-1 FATAL: no\n", Unpullable("FATAL: no")),
    ],
)
def test_answers_are_the_same_however_they_are_cut(output: bytes, outcome: Submission) -> None:
    for cut in range(len(output)):
        answers = Answers(submission)
        assert [*answers.feed(output[:cut]), *answers.feed(output[cut:])] == [("ns-1", outcome)]


async def test_refusals_are_taken_back_together_while_one_of_them_is_under_way(site: FakeSend) -> None:
    convoy = Convoy(site, withdrawal, runs=1)
    asked = [asyncio.create_task(convoy.ask(f"ns-{n}", b"")) for n in range(1000)]
    await _settled()
    for run, size in enumerate([1, MOST_PODS, MOST_PODS, MOST_PODS, 1000 - 1 - 3 * MOST_PODS]):
        payloads, heard, end = site.runs[run]
        assert len(payloads) == size
        heard("".join(f">withdrawn {pod}\n" for pod in payloads).encode())
        end.set_result(None)
        await _settled()
    assert await asyncio.gather(*asked) == [Withdrawn()] * 1000
    assert len(site.runs) == 5


def test_files_that_could_not_be_written_are_told_with_the_words_of_the_site() -> None:
    ((pod, error),) = Answers(submission).feed(b"tar: No space left on device\n>short ns-1\n")
    assert pod == "ns-1"
    assert isinstance(error, RemoteFailed)
    assert str(error) == "the pod's files could not be written at the site: tar: No space left on device"
