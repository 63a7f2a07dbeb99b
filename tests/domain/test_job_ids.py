"""Ids of jobs and of tasks, as Slurm 22.05 and 24.11 print them."""

import pytest

from remote_slurm.domain.slurm.job_ids import is_job_id, is_task, job_ids, task_number, whole_job


@pytest.mark.parametrize("text", ["7", "123456789", "7_0", "7_249"])
def test_an_id(text: str) -> None:
    assert is_job_id(text)
    assert job_ids(text) == [text]


@pytest.mark.parametrize(
    "text", ["", "_", "7_", "_7", "7_1_2", "7+0", "7.0", "\u0667", "7_\u0667", "7 ", "7\n", "-7", "void", "7_x"]
)
def test_no_id(text: str) -> None:
    assert not is_job_id(text)
    assert job_ids(text) == []


# tests/site/test_arrays.py has the scripts of the site read them, too
LISTS: dict[str, list[int]] = {
    "7_[0-3]": [0, 1, 2, 3],
    "7_[5]": [5],
    "7_[1%1]": [1],
    "7_[3-4%2]": [3, 4],
    "7_[60-62,91-92,96]": [60, 61, 62, 91, 92, 96],
    "7_[0-9:3]": [0, 3, 6, 9],
    "7_[0-9:3,17%2]": [0, 3, 6, 9, 17],
    "7_[0,2-4,10-14:2%5]": [0, 2, 3, 4, 10, 12, 14],
    "7_[0-999]": list(range(1000)),
    "7_[5-3,8]": [8],
}
NO_LISTS = [
    "7_[0,6,15,",
    "7_[0,6,...]",
    "7_[0,6,]",
    "7_[0,,6]",
    "7_[0,6-]",
    "7_[0-9:3%2,17]",
    "7_[1,3-5]%1",
    "7_[1-3",
    "7_[]",
    "7_[%2]",
    "7_[a-b]",
    "7_[0-9:0]",
    "7_[0-9:00]",
    "7_[0-9:]",
    "7_[-9]",
    "7_[1:2]",
    "7_[0-1000]",
    "7_[1-4000000]",
    "7_[0-4294967294]",
]


@pytest.mark.parametrize(("text", "tasks"), LISTS.items())
def test_tasks_that_wait_are_one_row(text: str, tasks: list[int]) -> None:
    assert job_ids(text) == [f"7_{task}" for task in tasks]


@pytest.mark.parametrize("text", NO_LISTS)
def test_a_list_that_is_cut_off_or_of_a_large_array_is_none(text: str) -> None:
    """squeue cuts off without SLURM_BITSTR_LEN=0; an array of ours has at most 250 tasks."""
    assert job_ids(text) == []


def test_the_parts_of_an_id() -> None:
    assert [(is_task(each), whole_job(each), task_number(each)) for each in ("7", "7_3")] == [
        (False, "7", -1),
        (True, "7", 3),
    ]
