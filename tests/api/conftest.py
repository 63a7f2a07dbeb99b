"""The HTTP server in this process, in front of a site that the test makes up."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from remote_slurm.api.app import build_app, build_watch_app, serving, serving_watchers
from remote_slurm.api.limits import Limits
from remote_slurm.api.metrics import Metrics
from remote_slurm.api.watching import Watching
from remote_slurm.config import load_config
from remote_slurm.log import Recent
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.audit import AuditLog
from remote_slurm.service.journal import Journal
from remote_slurm.service.pods import Pods, Shared
from tests.api.api_client import Api
from tests.fake_site import FakeSite, instant_site

Serve = Callable[..., Any]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Start a server at `site`. The keyword arguments are keys of the configuration."""
    async with AsyncExitStack() as stack:

        async def start(
            site: FakeSite | None = None, recent: Recent | None = None, limits: Limits | None = None, **keys: Any
        ) -> Api:
            ssh = {"HostName": "login.example.org", "User": "hpcuser", "IdentityFile": "/keys/id"}
            path = tmp_path / "SlurmConfig.yaml"
            path.write_text(yaml.safe_dump({"SSH": ssh, "SidecarPort": 0, "StateFolder": str(tmp_path), **keys}))
            config = load_config(path, {"HOME": "/home/me"})
            metrics = Metrics()
            site = site or instant_site()
            site.observer = metrics
            audit = AuditLog(config.audit_log)
            pods = Pods(site, config, Journal(config.state_folder), shared=Shared(audit=audit))
            stack.callback(audit.close)
            accounts = Accounts({"": pods}, config)
            metrics.read(accounts, config.tls, audit)
            stack.push_async_callback(pods.stop)
            watching = Watching(recent or Recent(), metrics)
            app = build_app(accounts, config, watching, audit, limits)
            api = Api(await stack.enter_async_context(serving(app, config)), pods, app=app)
            if config.watch.port is not None:
                watch_app = build_watch_app(accounts, config, watching, audit)
                api.watch_url = await stack.enter_async_context(serving_watchers(watch_app, config.watch))
            return api

        yield start
