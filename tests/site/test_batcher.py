"""Requests that arrive together share a script, and each gets its own reply."""

import asyncio

import pytest

from remote_slurm.errors import NotSent, OutcomeUnknown, SiteError
from remote_slurm.site.batcher import MOST_BYTES, MOST_REQUESTS, RUNS, Batch, Batcher

Letters = Batcher[str, str]


class FakeSend:
    """A site whose scripts run until the test ends them."""

    def __init__(self) -> None:
        self.runs: list[tuple[Batch[str, str], asyncio.Future[None]]] = []

    def __call__(self, batch: Batch[str, str]) -> asyncio.Future[None]:
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.runs.append((batch, end))
        return end

    @property
    def groups(self) -> list[list[str]]:
        return [list(batch.payloads) for batch, _ in self.runs]

    @property
    def under_way(self) -> list[int]:
        return [number for number, (_, end) in enumerate(self.runs) if not end.done()]

    async def answer(self, run: int, *keys: str) -> None:
        batch = self.runs[run][0]
        batch.answer((key, f"{key} is done") for key in keys)
        await _settled()

    async def end(self, run: int) -> None:
        """Answer all requests, and end the script."""
        await self.answer(run, *self.runs[run][0].payloads)
        self.runs[run][1].set_result(None)
        await _settled()

    async def fail(self, run: int, error: SiteError) -> None:
        self.runs[run][1].set_exception(error)
        await _settled()


@pytest.fixture
def site() -> FakeSend:
    return FakeSend()


@pytest.fixture
async def batcher(site: FakeSend) -> Letters:
    return Batcher(site)


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def ask(batcher: Letters, *keys: str, size: int = 1) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(batcher.ask(key, "payload", size)) for key in keys]
    await _settled()
    return tasks


async def busy(batcher: Letters) -> list[asyncio.Task[str]]:
    """As many requests as scripts run at once."""
    return await ask(batcher, *(f"early-{n}" for n in range(RUNS)))


async def test_a_single_request_is_sent_at_once(batcher: Letters, site: FakeSend) -> None:
    (asked,) = await ask(batcher, "a")
    assert site.groups == [["a"]]
    await site.end(0)
    assert await asked == "a is done"


async def test_requests_that_wait_share_the_next_scripts(batcher: Letters, site: FakeSend) -> None:
    first = await busy(batcher)
    assert site.groups == [[f"early-{n}"] for n in range(RUNS)]
    late = await ask(batcher, *(f"late-{n}" for n in range(2 * RUNS)))
    assert len(site.runs) == RUNS
    while site.under_way:
        await site.end(site.under_way[0])
    assert site.groups[RUNS : RUNS + 4] == [["late-0", "late-1"], ["late-2", "late-3"], ["late-4"], ["late-5"]]
    assert all([(await each).endswith("is done") for each in first + late])
    assert sum(map(len, site.groups)) == 3 * RUNS


async def test_a_request_is_answered_before_its_script_ends(batcher: Letters, site: FakeSend) -> None:
    await busy(batcher)
    tasks = await ask(batcher, *(f"late-{n}" for n in range(2 * RUNS)))
    await site.end(0)
    await site.answer(RUNS, "late-1", "early-3", "unknown")
    assert [each.done() for each in tasks[:2]] == [False, True]


async def test_an_error_is_for_requests_without_an_answer(batcher: Letters, site: FakeSend) -> None:
    await busy(batcher)
    tasks = await ask(batcher, *(f"late-{n}" for n in range(2 * RUNS)))
    await site.end(0)
    await site.answer(RUNS, "late-0")
    await site.fail(RUNS, NotSent("the line is dead"))
    assert await tasks[0] == "late-0 is done"
    with pytest.raises(NotSent, match="the line is dead"):
        await tasks[1]


async def test_an_answer_may_be_an_error(batcher: Letters, site: FakeSend) -> None:
    (asked,) = await ask(batcher, "a")
    site.runs[0][0].answer(iter([("a", NotSent("not this one"))]))
    with pytest.raises(NotSent, match="not this one"):
        await asked


async def test_a_script_that_ends_without_an_answer_leaves_it_unknown(batcher: Letters, site: FakeSend) -> None:
    (asked,) = await ask(batcher, "a")
    site.runs[0][1].set_result(None)
    with pytest.raises(OutcomeUnknown):
        await asked


async def test_a_request_that_is_cancelled_while_it_waits_is_not_sent(batcher: Letters, site: FakeSend) -> None:
    await busy(batcher)
    gone, stays = await ask(batcher, "gone", "stays")
    gone.cancel()
    await _settled()
    await site.end(0)
    assert site.groups[RUNS:] == [["stays"]]
    await site.end(RUNS)
    assert await stays == "stays is done"


async def test_a_request_that_is_cancelled_later_does_not_stop_others(batcher: Letters, site: FakeSend) -> None:
    first, *_ = await busy(batcher)
    first.cancel()
    await _settled()
    await site.end(0)
    (asked,) = await ask(batcher, "a")
    await site.end(RUNS)
    assert await asked == "a is done"


async def test_one_script_has_no_key_twice(batcher: Letters, site: FakeSend) -> None:
    await busy(batcher)
    tasks = await ask(batcher, *["a"] * (2 * RUNS))
    while site.under_way:
        await site.end(site.under_way[0])
    assert site.groups[RUNS:] == [["a"]] * (2 * RUNS)
    assert [await each for each in tasks] == ["a is done"] * (2 * RUNS)


async def test_the_requests_of_one_script_are_limited(batcher: Letters, site: FakeSend) -> None:
    await busy(batcher)
    await ask(batcher, *(f"late-{n}" for n in range(MOST_REQUESTS * RUNS * 2)))
    await site.end(0)
    assert len(site.groups[-1]) == MOST_REQUESTS


async def test_a_large_request_is_sent_alone(batcher: Letters, site: FakeSend) -> None:
    await busy(batcher)
    await ask(batcher, "large", size=MOST_BYTES)
    await ask(batcher, *(f"late-{n}" for n in range(2 * RUNS)))
    await site.end(0)
    assert site.groups[-1] == ["large"]


async def test_with_one_script_at_once_all_that_wait_share_the_next(site: FakeSend) -> None:
    tasks = await ask(Batcher(site, runs=1), *(f"k-{n}" for n in range(1000)))
    for run, size in enumerate([1, MOST_REQUESTS, MOST_REQUESTS, MOST_REQUESTS, 999 - 3 * MOST_REQUESTS]):
        assert len(site.groups[run]) == size
        await site.end(run)
    assert [each.done() for each in tasks] == [True] * 1000
    assert len(site.runs) == 5


async def test_requests_of_a_group_share_a_script_and_others_do_not_join_it(batcher: Letters, site: FakeSend) -> None:
    await busy(batcher)
    for number in range(6):
        group = "even" if number % 2 == 0 else None
        asyncio.create_task(batcher.ask(f"late-{number}", "payload", 1, group)).add_done_callback(lambda _: None)
    await _settled()
    for run in range(3):
        await site.end(run)
    assert site.groups[RUNS:] == [["late-0", "late-2", "late-4"], ["late-1"], ["late-3"]]


async def test_groups_of_one_request_share_scripts(batcher: Letters, site: FakeSend) -> None:
    await busy(batcher)
    for number in range(2 * RUNS):
        asyncio.create_task(batcher.ask(f"late-{number}", "payload", 1, number)).add_done_callback(lambda _: None)
    await _settled()
    while site.under_way:
        await site.end(site.under_way[0])
    assert site.groups[RUNS : RUNS + 4] == [["late-0", "late-1"], ["late-2", "late-3"], ["late-4"], ["late-5"]]


async def test_another_script_starts_once_as_many_wait_as_are_under_way(batcher: Letters, site: FakeSend) -> None:
    for number in range(7):
        asyncio.create_task(batcher.ask(f"k-{number}", "payload", 1, "like")).add_done_callback(lambda _: None)
        await _settled()
    assert site.groups == [["k-0"], ["k-1"], ["k-2", "k-3"]]
    (alone,) = await ask(batcher, "alone")
    await site.end(2)
    assert site.groups[3:] == [["alone"], ["k-4", "k-5", "k-6"]]
    await site.end(3)
    assert alone.done()


async def test_a_full_script_of_a_group_waits_for_no_other(batcher: Letters, site: FakeSend) -> None:
    for number in range(3 * MOST_REQUESTS):
        asyncio.create_task(batcher.ask(f"k-{number}", "payload", 1, "like")).add_done_callback(lambda _: None)
        await asyncio.sleep(0)
    await _settled()
    sizes = [len(each) for each in site.groups]
    assert sizes == [1, 1, 2, 4]
    await site.end(0)
    await site.end(1)
    assert [len(each) for each in site.groups[RUNS:]] == [MOST_REQUESTS, MOST_REQUESTS]


async def test_a_cancelled_request_of_a_group_does_not_count(batcher: Letters, site: FakeSend) -> None:
    first, *others = [asyncio.create_task(batcher.ask(f"k-{n}", "payload", 1, "like")) for n in range(4)]
    await _settled()
    assert site.groups == [["k-0"], ["k-1"], ["k-2", "k-3"]]
    gone, stays = [asyncio.create_task(batcher.ask(name, "payload", 1, "like")) for name in ("gone", "stays")]
    await _settled()
    gone.cancel()
    await site.end(0)
    await site.end(1)
    assert len(site.runs) == 3
    await site.end(2)
    assert site.groups[3:] == [["stays"]]
    assert first.done()
    assert all(each.done() for each in others)
    await site.end(3)
    assert await stays == "stays is done"
