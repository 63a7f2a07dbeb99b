"""Sites for the tests of `scripts/site` itself."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.scripts.site_command import Document, site_up


@pytest.fixture(scope="session")
def trixie() -> Iterator[Document]:
    with site_up("--min-job-age", "5") as document:
        yield document


@pytest.fixture
def new_site() -> Iterator[Callable[..., Document]]:
    with contextlib.ExitStack() as stack:
        yield lambda *options: stack.enter_context(site_up(*options))
