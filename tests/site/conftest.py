"""Accounts in each shell that a login node may have as /bin/sh, and what is sent to them."""

import signal
from pathlib import Path

import pytest

from tests.site.account import SHELLS, Account

# Tests that nohup has started ignore it, and what a shell is born to ignore does not end it
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """In the machine's own /bin/sh."""
    return Account(tmp_path / "home", ["sh"])


@pytest.fixture(params=SHELLS, ids=" ".join)
def each_account(request: pytest.FixtureRequest, tmp_path: Path) -> Account:
    """The test runs in every shell that is here."""
    return Account(tmp_path / "home", request.param)
