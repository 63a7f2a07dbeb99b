"""Load a configuration from text, as the command line does from a file."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from remote_slurm.config import Config, load_config
from remote_slurm.errors import ConfigError, Problem

SSH_BLOCK = "\nSSH: {HostName: login.example.org, User: hpcuser, IdentityFile: /keys/id}\n"
HOME = {"HOME": "/home/me"}


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Config]:
    """Load text, with a block SSH at its end so that it is complete; `ssh=""` leaves that out."""

    def from_text(
        text: str, environ: Mapping[str, str] = HOME, overrides: Sequence[str] = (), ssh: str = SSH_BLOCK
    ) -> Config:
        path = tmp_path / "SlurmConfig.yaml"
        path.write_text(text + ssh)
        return load_config(path, environ, overrides)

    return from_text


@pytest.fixture
def problems(load: Callable[..., Config]) -> Callable[..., list[Problem]]:
    """What is wrong with text."""

    def of_text(*args: object, **options: object) -> list[Problem]:
        with pytest.raises(ConfigError) as caught:
            load(*args, **options)
        return caught.value.problems

    return of_text
