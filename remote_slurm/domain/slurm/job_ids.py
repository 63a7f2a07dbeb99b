"""Ids of jobs: `42`, or `42_7` for task 7 of the job array 42. Scripts of the site use `is_id` of root.sh."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

# str.isdigit() is true of other digits, too
_JOB_ID = re.compile("[0-9]{1,18}(?:_[0-9]{1,9})?")
# Tasks that wait: `42_[1-3,7%2]`, where 2 may run at once; evenly spaced ones may be `0-8:2`
_TASKS = re.compile(r"([0-9]{1,18})_\[([0-9,:-]+)(?:%[0-9]+)?\]")
_RANGE = re.compile("([0-9]{1,9})(?:-([0-9]{1,9})(?::([1-9][0-9]{0,8}))?)?")
# Arrays of ours are smaller; the account may have others
_MOST_TASKS = 1000


def is_job_id(text: str) -> bool:
    """Whether the text is the id of a job or of one task."""
    return _JOB_ID.fullmatch(text) is not None


def is_task(job_id: str) -> bool:
    """Whether a job is a task of an array."""
    return "_" in job_id


def task_number(job_id: str) -> int:
    """The number of a task in its array; -1 for a job that is no task."""
    return int(job_id.partition("_")[2] or -1)


def job_ids(text: str) -> list[str]:
    """The ids that squeue or sacct prints in one row: one, or those of tasks that wait.

    There are none if the text is neither, or if the array has more than 1,000 such tasks. A list that is cut off is
    neither: its last tasks would seem to have been cancelled.
    """
    if is_job_id(text):
        return [text]
    found = _TASKS.fullmatch(text)
    if found is None:
        return []
    array, ranges = found.groups()
    numbers = list(islice(_numbers(ranges), _MOST_TASKS + 1)) if all(map(_RANGE.fullmatch, ranges.split(","))) else []
    return [] if len(numbers) > _MOST_TASKS else [f"{array}_{number}" for number in numbers]


def whole_job(job_id: str) -> str:
    """The id of the array that a task belongs to: sacct does not find tasks that wait by their own ids."""
    return job_id.partition("_")[0]


def _numbers(ranges: str) -> Iterator[int]:
    for first, last, step in _RANGE.findall(ranges):
        yield from range(int(first), int(last or first) + 1, int(step or 1))
