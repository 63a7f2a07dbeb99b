"""`serve --ready-file`: whoever waits for it finds a whole URL in it, and nothing after the end."""

import signal
import time
from pathlib import Path

from program import ProgramAt
from sites import Site


def test_the_ready_file(program_at: ProgramAt, site: Site, tmp_path: Path) -> None:
    ready = tmp_path / "url"
    process = program_at(site).start("serve", "--ready-file", ready)
    until = time.monotonic() + 20
    while not ready.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert ready.read_text().startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert not ready.exists()


def test_a_ready_file_that_cannot_be_written(program_at: ProgramAt, site: Site) -> None:
    done = program_at(site)("serve", "--ready-file", "/nonexistent/url")
    assert done.returncode == 1
    assert "--ready-file /nonexistent/url cannot be written" in done.stderr
