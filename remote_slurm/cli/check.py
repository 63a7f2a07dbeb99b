"""`remote-slurm check`: each step from the configuration to the site."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, replace

from remote_slurm.api.files import try_files
from remote_slurm.cli.options import add_config_options, add_output_option, configured, seconds
from remote_slurm.cli.screen import Colour, Screen
from remote_slurm.config import Config
from remote_slurm.domain.slurm.flags import parse_flags
from remote_slurm.errors import ConfigError, RemoteSlurmError
from remote_slurm.service.check.findings import Finding
from remote_slurm.service.check.job import JOB, NODE, JobOptions, check_from_a_node
from remote_slurm.service.check.site_check import CONFIGURATION, CONNECTION_CHECKS, SITE_CHECKS, SUBMISSION, SiteCheck
from remote_slurm.service.check.token_reviews import TOKEN_REVIEWS, check_token_reviews, is_needed
from remote_slurm.service.kubernetes_api import NEEDS_PACKAGES, is_installed

_HELP = """\
Check the configuration and the connection to the site step by step: files of TLS and TokenFile, address, host key,
login, shell, Slurm, sbatch options of flavors (sbatch --test-only), default memory, container runtime, DataRootFolder,
clock, round trip. Each failure is printed with a remedy. With --job, a small job also checks a compute node; it is
removed afterwards. The exit code is 0 if all checks pass, and 1 if one fails or could not be made.

signs besides those for passed and failed:
  !  passed with a warning: see the line below
  ?  only a compute node can tell: use --job
  -  not checked
"""

_EXAMPLES = """\
examples:
  remote-slurm check --config SlurmConfig.yaml
  remote-slurm check --config SlurmConfig.yaml --set SSH.Port=2222 --set SSH.User=me
  remote-slurm check --config SlurmConfig.yaml --job --flags='--partition=short --account=physics'
  remote-slurm check --config SlurmConfig.yaml --output json | jq '.[] | select(.ok == false)'
"""

LISTENING = "access to the sidecar"

# A sign, and a plain one for encodings without it
_MARKS = {True: ("✓", "+", Colour.GOOD), False: ("✗", "x", Colour.BAD), None: ("-", "-", Colour.QUIET)}
_NODE_MARK = ("?", "?", Colour.WARNING)
_REMARK = ("!", "!", Colour.WARNING)
_WITHOUT_JOB = Finding(
    "compute nodes",
    ok=True,
    message="only a job can tell whether they have DataRootFolder and the container runtime",
    remedy="`remote-slurm check --job` submits one",
    needs_node=True,
)


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    add_config_options(parser)
    parser.add_argument("--job", action="store_true", help="also submit a small job that checks a compute node")
    parser.add_argument(
        "--flags", default="", metavar="FLAGS", help="sbatch options of that job, and of sbatch --test-only"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=300.0,
        metavar="SECONDS",
        help="time limit for that job to start and end (default: 300)",
    )
    add_output_option(
        parser, "output format (default: text); json is a list of {check, ok, message, remedy, needs_node}"
    )


def run(arguments: argparse.Namespace) -> int:
    logging.getLogger("remote_slurm").addHandler(logging.NullHandler())  # findings report everything
    logging.getLogger("remote_slurm").propagate = False
    parse_flags(arguments.flags, "--flags")  # wrong ones would stop the checks halfway
    findings = asyncio.run(_check(arguments))
    if arguments.output == "json":
        print(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    return 0 if all(finding.ok for finding in findings) else 1


async def _check(arguments: argparse.Namespace) -> list[Finding]:
    screen = Screen(sys.stdout) if arguments.output == "text" else Screen(sys.stderr)
    found: list[Finding] = []
    unchecked: list[Finding] = []
    config, first = _configuration(arguments)
    accounts = len(config.accounts) if config else 1
    listening = [LISTENING] if config and _has_files(config) else []
    listening += [TOKEN_REVIEWS] if config and is_needed(config) else []
    names = iter([CONFIGURATION, *listening, *_steps(arguments) * accounts])
    async with aclosing(_findings(arguments, config, first)) as findings:
        while True:
            async with screen.waiting(next(names, "cleaning up")):
                finding = await anext(findings, None)
            if finding is not None:
                found.append(finding)
            if arguments.output == "text":
                unchecked = _show_in_turn(finding, unchecked, screen)
            if finding is None:
                if arguments.output == "text" and not arguments.job and all(each.ok for each in found):
                    _show(_WITHOUT_JOB, screen)
                return found


def _steps(arguments: argparse.Namespace) -> tuple[str, ...]:
    return (*CONNECTION_CHECKS, *SITE_CHECKS, *((JOB, *NODE) if arguments.job else ()))


async def _findings(
    arguments: argparse.Namespace, config: Config | None, first: Finding
) -> AsyncGenerator[Finding, None]:
    """`first` is of the configuration; the others are of each account at the site, one account after another."""
    yield first
    for finding in _listening(config):
        yield finding
    if config is None:
        for name in _steps(arguments):
            yield Finding(name, None, f"not checked: needs {CONFIGURATION}")
        return
    if is_needed(config):
        yield await check_token_reviews(config)
    for name, own in config.accounts.items():
        async with aclosing(_of_account(own, arguments)) as findings:
            async for each in findings:
                yield replace(each, check=f"{name}: {each.check}" if name else each.check)


async def _of_account(config: Config, arguments: argparse.Namespace) -> AsyncGenerator[Finding, None]:
    site_check = SiteCheck(config, arguments.flags)
    try:
        whole = True
        async for finding in site_check.findings():
            whole = whole and (
                finding.ok is not False or finding.check == SUBMISSION
            )  # the job may need no such flavor
            yield finding
        if arguments.job:
            async with aclosing(_job(site_check, config, arguments, whole=whole)) as findings:
                async for finding in findings:
                    yield finding
    finally:
        await site_check.close()


async def _job(
    site_check: SiteCheck, config: Config, arguments: argparse.Namespace, *, whole: bool
) -> AsyncGenerator[Finding, None]:
    if not whole:
        for name in (JOB, *NODE):
            yield Finding(name, None, "not checked: needs all checks before it")
        return
    async with aclosing(
        check_from_a_node(site_check.site, config, JobOptions(arguments.flags, arguments.timeout))
    ) as findings:
        async for finding in findings:
            yield finding


def _listening(config: Config | None) -> list[Finding]:
    """One, where the configuration names files for that; its remedy is in the sentence."""
    if config is None or not _has_files(config):
        return []
    try:
        return [Finding(LISTENING, ok=True, message=f"{try_files(config)} can be used")]
    except RemoteSlurmError as error:
        return [Finding(LISTENING, ok=False, message=str(error))]


def _has_files(config: Config) -> bool:
    listeners = (config, config.watch, config.port_forward)
    return bool(config.access) or any(each.tls.enabled or each.token_file for each in listeners)


def _configuration(arguments: argparse.Namespace) -> tuple[Config | None, Finding]:
    try:
        config = configured(arguments)
    except ConfigError as error:
        problems = "\n".join(str(problem) for problem in error.problems)
        return None, Finding(
            CONFIGURATION,
            ok=False,
            message=f"{error.source}: {problems}",
            remedy="correct it: `remote-slurm config example` prints every key, and `remote-slurm init` writes a file",
        )
    ssh = config.ssh
    message = f"{ssh.user} at {', '.join(ssh.host_names)} port {ssh.port}, DataRootFolder {config.data_root_folder}"
    missing = [NEEDS_PACKAGES] if config.custom_kubeconf and not is_installed() else []
    return config, Finding(
        CONFIGURATION, ok=not missing, message=message, remedy="; ".join([*missing, *config.warnings])
    )


async def show_findings(site_check: SiteCheck, screen: Screen) -> bool:
    """Show the findings as text, and return whether none of its checks failed."""
    names = iter((*CONNECTION_CHECKS, *SITE_CHECKS))
    unchecked: list[Finding] = []
    is_good = True
    async with aclosing(site_check.findings()) as findings:
        while True:
            async with screen.waiting(next(names, "cleaning up")):
                finding = await anext(findings, None)
            unchecked = _show_in_turn(finding, unchecked, screen)
            if finding is None:
                return is_good
            is_good = is_good and bool(finding.ok)


def _show_in_turn(finding: Finding | None, unchecked: list[Finding], screen: Screen) -> list[Finding]:
    """Show the finding, or keep it, since findings that were not checked for one reason share a line; return those."""
    if finding and finding.ok is None and all(each.message == finding.message for each in unchecked):
        return [*unchecked, finding]
    if unchecked:
        names = ", ".join(each.check for each in unchecked)
        _show(replace(unchecked[0], check=names if len(unchecked) == 1 else "", message=_unchecked(unchecked)), screen)
    if finding and finding.ok is None:
        return [finding]
    if finding:
        _show(finding, screen)
    return []


def _unchecked(findings: list[Finding]) -> str:
    if len(findings) == 1:
        return findings[0].message
    return f"{findings[0].message}: {', '.join(each.check for each in findings)}"


def _mark(finding: Finding) -> tuple[str, str, Colour]:
    if finding.needs_node:
        return _NODE_MARK
    return _REMARK if finding.ok and finding.remedy else _MARKS[finding.ok]


def _show(finding: Finding, screen: Screen) -> None:
    mark, plain, colour = _mark(finding)
    message = finding.message.replace("\n", f"\n  {'':<17}  ")
    screen.line(f"{screen.paint(screen.sign(mark, plain), colour)} {finding.check:<17}  {message}")
    if finding.remedy:
        screen.line(f"  {'':<17}  {screen.paint(screen.sign('→', '>'), Colour.WARNING)} {finding.remedy}")
