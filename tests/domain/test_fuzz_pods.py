"""Any JSON as a pod: it is planned, or refused with a sentence, and job.sh has no line that is not ours."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from remote_slurm.api.logs import parse_log_request
from remote_slurm.domain.plan.script import job_files, render_job
from remote_slurm.domain.pod.model import CreateRequest, parse_pod, parse_pods
from remote_slurm.errors import InvalidRequest
from remote_slurm.job import SCRIPTS
from tests.domain.podspec import container, plan, pod
from tests.hypothesis_settings import effort
from tests.wrong_shapes import ANY_JSON, places, replaced

COMMANDS = ["$(touch pwned)", "`touch pwned`", "'; touch pwned; '", '"; touch pwned; "', "a\ntouch pwned"]
HOSTILE = st.sampled_from([*COMMANDS, "\\", "*", "--", "ü\u2028"])
VALUES = HOSTILE | st.text(max_size=20)
RIGHT = pod(
    container("main", "sh", "-c", "true", env=[{"name": "A", "value": "b"}], workingDir="/tmp"),
    annotations={"slurm-job.vk.io/flags": "--time=5"},
    volumes=[{"name": "v", "emptyDir": {}}],
)
PLACES = list(places(RIGHT))


def planned(body: Any) -> None:
    try:
        made = plan(body, settings={"ContainerRuntime": "none"})
        job_files(made, SCRIPTS)
    except InvalidRequest as refusal:
        assert len(str(refusal)) > 10  # noqa: PT017 - it may as well be planned
        return
    head, _, _ = render_job(made).partition("\n# This shell starts again")
    for line in head.splitlines()[1:]:
        assert not line or line.startswith("#"), line


@given(st.sampled_from(PLACES), ANY_JSON | VALUES)
@effort(300)
def test_any_value_in_any_place_is_planned_or_refused(place: Any, value: Any) -> None:
    planned(replaced(RIGHT, place, value))


@given(VALUES | st.text(st.sampled_from("-=' \"\\\n\tabcdefpartime0123:,"), max_size=40))
@effort(300)
def test_flags_are_lines_of_their_own_or_refused(flags: str) -> None:
    body = pod(annotations={"slurm-job.vk.io/flags": flags})
    planned(body)
    try:
        script = render_job(plan(body, settings={"ContainerRuntime": "none"}))
    except InvalidRequest:
        return
    assert all(re.match(r"#SBATCH --[a-z]", line) for line in script.splitlines() if line.startswith("#SBATCH"))


@given(ANY_JSON)
@effort(200)
def test_any_json_is_read_or_refused(body: Any) -> None:
    for parse in (CreateRequest.parse, parse_pods, lambda each: parse_pod(each, "delete"), parse_log_request):
        try:
            parse(body)  # type: ignore[operator]
        except InvalidRequest as refusal:
            assert len(str(refusal)) > 10  # noqa: PT017 - it may as well be read
