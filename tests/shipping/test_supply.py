"""What is shipped: pinned images, a securityContext on every container, and an audit that says if it was not made."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DOCKERFILES = sorted(ROOT.glob("**/Dockerfile"))
PINNED = re.compile(r"\S+(@sha256:[0-9a-f]{64}|:\d[\w.-]*)")


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every container of every Kubernetes object in examples/."""
    for path in sorted(EXAMPLES.rglob("*.yaml")):
        if path.parent.name == "templates":  # of Helm: see test_chart.py
            continue
        for document in yaml.safe_load_all(path.read_text()):
            for each in _containers(document):
                yield str(path.relative_to(EXAMPLES)), each


def _containers(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in {"containers", "initContainers"}:
                yield from inner
            else:
                yield from _containers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _containers(inner)


def _runs_in_the_cluster(path: str) -> bool:
    """Or as a Slurm job."""
    return "/" in path and not path.endswith("shadow/notebook.yaml")


def test_every_container_of_the_examples_has_a_security_context() -> None:
    found = list(containers())
    assert len({path for path, _ in found}) > 15
    for path, container in found:
        context = container.get("securityContext") or {}
        where = f"{path}: {container['name']}"
        assert context.get("runAsNonRoot") is True, where
        assert context.get("allowPrivilegeEscalation") is False, where
        if _runs_in_the_cluster(path):
            assert context["readOnlyRootFilesystem"] is True, where
            assert context["capabilities"] == {"drop": ["ALL"]}, where
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, where


def test_images_that_run_in_the_cluster_are_pinned() -> None:
    images = [(path, each["image"]) for path, each in containers() if _runs_in_the_cluster(path) and "image" in each]
    helm = yaml.safe_load((EXAMPLES / "helm" / "values.yaml").read_text())
    images += [("helm", helm[part]["image"]) for part in ("plugin", "interlink", "virtualNode")]
    chart = yaml.safe_load((EXAMPLES / "kubernetes" / "chart" / "values.yaml").read_text())
    images += [("chart", chart[part]["image"]) for part in ("interlink", "virtualKubelet")]
    assert len(images) > 2
    assert [each for each in images if not PINNED.fullmatch(each[1])] == []


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_base_images_have_a_version_and_can_be_given_by_digest(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    defaults = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", text, re.MULTILINE))
    assert len(defaults) == 1
    for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
        assert image.removeprefix("$") in defaults
    assert all(not image.endswith(":latest") and ":" in image for image in defaults.values())
    assert all(name in (ROOT / "scripts" / "image").read_text() for name in defaults)


@pytest.mark.parametrize("image", ["", "docker.io/library/python:3.13-slim", "python@sha256:abc"])
def test_a_release_is_built_from_a_digest_only(image: str) -> None:
    environment = {**os.environ, "PYTHON_IMAGE": image}
    done = _run(ROOT / "scripts" / "image", "--release", env=environment)
    assert done.returncode == 1
    assert "--release needs the base image by digest: PYTHON_IMAGE=" in done.stderr


CLEAN = {"name": "a", "version": "1", "vulns": []}
UNSAFE = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1"}]}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("dependencies", "words", "audit", "ci"),
    [
        ([CLEAN], "", 0, 0),
        ([CLEAN, UNSAFE], "supply: advisory for b 2: PYSEC-1", 1, 1),
        ([CLEAN, SKIPPED], "supply: NOT AUDITED: no advisories for 1 of 2 packages", 3, 0),
        ([UNSAFE, SKIPPED], "supply: advisory for b 2: PYSEC-1", 1, 1),
        (None, "supply: NOT AUDITED: no advisories can be had", 3, 0),
    ],
)
def test_an_audit_fails_for_advisories_and_says_if_it_was_not_made(
    tmp_path: Path, dependencies: list[dict[str, Any]] | None, words: str, audit: int, ci: int
) -> None:
    auditor = tmp_path / "pip-audit"
    report = json.dumps({"dependencies": dependencies})
    # its last argument is the file of the report; without a network it writes none
    auditor.write_text(
        "#!/bin/bash\nexit 1\n" if dependencies is None else f"#!/bin/bash\necho '{report}' >\"${{!#}}\"\n"
    )
    auditor.chmod(0o755)
    programs = {"PIP_AUDIT": str(auditor), "UV": "true"}
    for command, code in (("audit", audit), ("ci", ci)):
        done = _run(ROOT / "scripts" / "supply", command, env={**os.environ, **programs})
        assert (done.returncode, done.stdout.startswith(words)) == (code, True)


def test_an_audit_fails_for_a_bound_that_admits_an_advisory(tmp_path: Path) -> None:
    auditor, resolver = tmp_path / "pip-audit", tmp_path / "uv"
    resolver.write_text("#!/bin/sh\necho b==2\n")
    # an advisory for that version only, and none for those that are locked
    reports = {True: json.dumps({"dependencies": [UNSAFE]}), False: json.dumps({"dependencies": [CLEAN]})}
    auditor.write_text(
        "#!/bin/bash\n"
        f'grep -qx b==2 "$3" && echo \'{reports[True]}\' >"${{!#}}" || echo \'{reports[False]}\' >"${{!#}}"\n'
    )
    for program in (auditor, resolver):
        program.chmod(0o755)
    environment = {**os.environ, "PIP_AUDIT": str(auditor), "UV": str(resolver)}
    done = _run(ROOT / "scripts" / "supply", "audit", env=environment)
    assert done.stdout.splitlines() == [
        "supply: advisory for b 2: PYSEC-1",
        "supply: bounds in pyproject.toml admit versions with advisories: raise them",
    ]
    assert done.returncode == 1


def test_ci_audits() -> None:
    assert "scripts/supply ci\n" in (ROOT / ".ci" / "run").read_text()


def test_security_md_says_where_to_report_a_weakness() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    assert "private vulnerability reporting" in text
    assert "http" not in text
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert all((ROOT / link).exists() for link in links)


def _run(*command: Path | str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=120)
