"""What containers, the site and a server say never controls the terminal of a person."""

import asyncio
import io
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from remote_slurm.cli.screen import Colour, Screen
from remote_slurm.domain.records import ContainerPhase
from tests.cli.made_up_site import Served, served
from tests.fake_site import FakeAccount
from tests.pods import pod, sh
from tests.sidecar import ENVIRONMENT, PROGRAM

# the title of the window, a cleared screen, a colour, another direction of writing, and a line that is written over
HOSTILE = "\033]0;title\007\033[2J\033[31mred\u202eder\u009b2J\rover"


def is_harmless(text: str) -> bool:
    return all(sign.isprintable() or sign == "\n" for sign in text)


@pytest.fixture
async def refusing(tmp_path: Path) -> AsyncIterator[Served]:
    """The program as a client of a server that refuses everything."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=503, text=HOSTILE, reason="no")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump({"kind": "Pod", **pod(sh("c", "true"), name="p")}))
    async with TestServer(app) as server:
        client: Any = None
        yield Served(str(server.make_url("/")), client, client)


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["describe"],
        ["logs", "a/b"],
        ["delete", "a/b"],
        ["wait", "--for=delete", "a/b"],
        ["ping"],
        ["top", "-o", "json"],
        ["exec", "a/b", "--", "true"],
        ["cp", "a/b:/c", "."],
    ],
    ids=lambda words: words[0],
)
async def test_the_words_of_a_refusal(refusing: Served, words: list[str]) -> None:
    done = await refusing(*words)
    assert done.returncode
    assert "red" in done.stderr
    assert is_harmless(done.stdout + done.stderr)


@pytest.mark.parametrize("words", [["run", "pod.yaml"], ["port-forward", "a/b", "0:80"]], ids=lambda words: words[0])
async def test_the_words_of_a_refusal_to_a_command_that_waits_for_signals(
    refusing: Served, tmp_path: Path, words: list[str]
) -> None:
    program = await asyncio.create_subprocess_exec(
        PROGRAM, words[0], "--url", refusing.url, *words[1:], cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE
    )
    _, errors = await program.communicate()
    assert "red" in errors.decode()
    assert is_harmless(errors.decode())


class Saying(FakeAccount):
    """Its containers end with these words."""

    def record(self, pod: str, phase: ContainerPhase, code: int) -> None:
        super().record(pod, phase, code)
        self.spool[-1] = replace(self.spool[-1], message=HOSTILE)


@pytest.mark.parametrize(
    "words", [["status"], ["status", "-o", "wide"], ["describe"], ["wait", "--for=succeeded", "a/p"]]
)
async def test_the_last_words_of_a_container(tmp_path: Path, words: list[str]) -> None:
    async with served(tmp_path) as sidecar:
        job = sidecar.add(1, "a/p")
        sidecar.account.__class__ = Saying
        await sidecar.polled()
        sidecar.account.finish(job, 3)
        await sidecar("wait", "--for=succeeded", "--timeout=60s", "a/p")
        done = await sidecar(*words)
    assert "red" in done.stdout + done.stderr
    assert is_harmless(done.stdout + done.stderr)


class TerminalStream(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_line_has_no_other_colours_than_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = TerminalStream()
    screen = Screen(stream)
    screen.line(f"{screen.paint(f'good {HOSTILE}', Colour.GOOD)}: {HOSTILE}")
    text = stream.getvalue()
    assert text.startswith("\033[32mgood ")
    assert is_harmless(text.replace("\033[32m", "").replace("\033[0m", ""))
