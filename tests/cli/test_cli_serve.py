"""`serve --ready-file`: the file has the whole URL, and is removed at the end."""

import json
import signal
import time
from pathlib import Path

from tests.cli.program import ProgramAt
from tests.sidecar import PATIENCE
from tests.sites import Site


def test_the_ready_file(program_at: ProgramAt, site: Site, tmp_path: Path) -> None:
    ready = tmp_path / "url"
    process = program_at(site).start("serve", "--ready-file", ready)
    until = time.monotonic() + PATIENCE
    while not ready.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert ready.read_text().startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert not ready.exists()


def test_a_ready_file_that_cannot_be_written(program_at: ProgramAt, site: Site) -> None:
    done = program_at(site)("serve", "--ready-file", "/nonexistent/url")
    assert done.returncode == 1
    # once: it would not be otherwise with the next try
    assert done.stderr.count("--ready-file /nonexistent/url cannot be written") == 1


def test_each_line_of_a_log_for_machines_is_json(program_at: ProgramAt, site: Site, tmp_path: Path) -> None:
    """Also those of libraries, here of one that finds no collector."""
    ready = tmp_path / "url"
    program = program_at(site, LogFormat="json", ENABLE_TRACING="1", TELEMETRY_ENDPOINT="127.0.0.1:1")
    process = program.start("serve", "--ready-file", ready)
    until = time.monotonic() + PATIENCE
    while not ready.exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert all({"time", "level", "message"} <= set(line) for line in lines)
    (listening,) = [line for line in lines if line["message"] == "listening"]
    assert listening["user"] == site.user
