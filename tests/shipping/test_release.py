"""What a release consists of: metadata that PyPI renders, pinned workflows, and a script that checks the checkout."""

import os
import re
import shutil
import subprocess
import sys
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from remote_slurm import __version__
from tests.shipping.test_wheel import sources

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ADDRESS = "https://github.example.org/team/remote-slurm"
RELATIVE = re.compile(r"\]\((?!https://|#)[^)]*\)")


def build(folder: Path, target: str, address: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", "dist"]
    environment = {**os.environ, "REMOTE_SLURM_COMMIT": "0123456789ab", "REMOTE_SLURM_REPOSITORY": address}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    (file,) = (folder / "dist").glob("*.whl" if target == "wheel" else "*.tar.gz")
    return file


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return BytesParser().parsebytes(archive.read(name))


def text_of(message: Message) -> str:
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def test_pypi_accepts_the_packages_and_every_link_leads_to_the_repository(tmp_path: Path) -> None:
    checkout = sources(tmp_path / "checkout")
    wheel, source = build(checkout, "wheel", ADDRESS), build(checkout, "sdist", ADDRESS)
    command = [sys.executable, "-m", "twine", "check", "--strict", wheel, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout

    found = metadata(wheel)
    description = text_of(found)
    assert RELATIVE.findall(description) == []
    assert "![The page at /ui" in description
    assert f"({ADDRESS}/raw/v{__version__}/docs/ui.png)" in description
    assert f"[Security]({ADDRESS}/blob/v{__version__}/docs/security.md)" in description
    assert found["Author"] == "remote-slurm developers"
    assert set(found.get_all("Project-URL", [])) >= {f"Homepage, {ADDRESS}", f"Issues, {ADDRESS}/issues"}
    assert "Programming Language :: Python :: 3.14" in found.get_all("Classifier", [])

    # a build from the source distribution is given no address
    shutil.unpack_archive(source, tmp_path)
    (unpacked,) = tmp_path.glob("remote_slurm-*")
    again = metadata(build(unpacked, "wheel", ""))
    assert again.as_bytes() == found.as_bytes()


def test_a_build_without_an_address_has_no_urls(tmp_path: Path) -> None:
    found = metadata(build(sources(tmp_path / "checkout"), "wheel", ""))
    assert found.get_all("Project-URL") is None
    assert "[Security](docs/security.md)" in text_of(found)


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)


VERSIONED = (
    "scripts/release",
    "remote_slurm/__init__.py",
    "CITATION.cff",
    "examples/helm/values.yaml",
    "examples/kubernetes/chart/Chart.yaml",
    "examples/kubernetes/overlay/kustomization.yaml",
)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A checkout of a release, with a scripts/supply that ends the script before anything is built."""
    for name in VERSIONED:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(
        f"# Changelog\n## [Unreleased]\nlater\n## [{__version__}] - 2026-11-30\n### Added\n"
        "- [a](docs/a.md#b), [c](https://c.example), [d](#d)\n## [0.0.1] - 2026-01-01\nold\n"
    )
    supply = tmp_path / "scripts" / "supply"
    supply.write_text("#!/bin/sh\necho building; exit 7\n")
    supply.chmod(0o755)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "remote", "add", "origin", "git@github.com:team/remote-slurm.git")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    return tmp_path


def run_release(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "REMOTE_SLURM_REPOSITORY"}
    return subprocess.run(
        [folder / "scripts" / "release", *words], env=environment, capture_output=True, text=True, check=False
    )


def test_a_checkout_of_a_release_is_built(released: Path) -> None:
    done = run_release(released)
    assert (done.returncode, done.stdout, done.stderr) == (7, "building\n", "")


def test_every_reason_against_a_release_is_listed_at_once(released: Path) -> None:
    git(released, "tag", f"v{__version__}")
    (released / "CHANGELOG.md").write_text("# Changelog\n## [Unreleased]\n")
    (released / "CITATION.cff").write_text("version: 9.9.9\n")
    (released / "examples/kubernetes/chart/Chart.yaml").write_text('version: 9.9.9\nappVersion: "9.9.8"\n')
    git(released, "remote", "set-url", "origin", "/srv/git/remote-slurm")
    git(released, "commit", "--quiet", "-a", "-m", "two")
    (released / "left-over").touch()
    done = run_release(released)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f'release: CITATION.cff has version "9.9.9": must be {__version__}',
        f'release: examples/kubernetes/chart/Chart.yaml has version "9.9.8 9.9.9": must be {__version__}',
        f'release: CHANGELOG.md has no "## [{__version__}] - YYYY-MM-DD": run scripts/release prepare',
        "release: the checkout has changes: commit them",
        f"release: the tag v{__version__} exists for another commit: choose the next version",
        "release: REMOTE_SLURM_REPOSITORY is not set and origin is not on GitHub: links in the description need it",
    ]
    rehearsed = run_release(released, "rehearse")
    assert rehearsed.stdout == done.stderr + "building\n"


def test_prepare_sets_the_version_everywhere_and_dates_the_changelog(released: Path) -> None:
    done = run_release(released, "prepare", "9.8.7")
    assert (done.returncode, done.stderr) == (0, "")
    changelog = (released / "CHANGELOG.md").read_text()
    assert re.search(r"^## \[Unreleased\]\n\n## \[9\.8\.7\] - \d{4}-\d\d-\d\d\nlater$", changelog, re.MULTILINE)
    changed = {name for name in VERSIONED if "9.8.7" in (released / name).read_text()}
    assert changed == set(VERSIONED) - {"scripts/release"}
    assert [name for name in changed if __version__ in (released / name).read_text()] == []
    assert run_release(released, "notes").stdout == "later\n"
    # nothing but the changes is left to do
    assert run_release(released, "rehearse").stdout == "release: the checkout has changes: commit them\nbuilding\n"


@pytest.mark.parametrize(
    ("version", "code", "words"),
    [
        ("", 2, 'release: version "": must be MAJOR.MINOR.PATCH\n'),
        ("v0.2.0", 2, 'release: version "v0.2.0": must be MAJOR.MINOR.PATCH\n'),
        ("0.0.1", 1, 'release: CHANGELOG.md must have one "## [Unreleased]" and no "## [0.0.1]"\n'),
    ],
)
def test_prepare_changes_nothing_for_a_wrong_version(released: Path, version: str, code: int, words: str) -> None:
    done = run_release(released, "prepare", version)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", words)
    status = subprocess.run(
        ["git", "-C", released, "status", "--porcelain"], capture_output=True, text=True, check=True
    )
    assert status.stdout == ""


def test_the_examples_name_the_image_of_this_version() -> None:
    texts = [path.read_text() for path in (ROOT / "examples").rglob("*") if path.is_file() and path.suffix != ".png"]
    versions = {
        version for text in texts for version in re.findall(r"registry.example.org/remote-slurm:([\w.]+)", text)
    }
    assert versions == {__version__}
    overlay = yaml.safe_load((ROOT / "examples/kubernetes/overlay/kustomization.yaml").read_text())
    assert [image["newTag"] for image in overlay["images"]] == [__version__]


def test_the_notes_are_the_part_of_the_changelog_about_the_version(released: Path) -> None:
    page = f"https://github.com/team/remote-slurm/blob/v{__version__}/docs/a.md#b"
    notes = f"### Added\n- [a]({page}), [c](https://c.example), [d](#d)\n"
    assert run_release(released, "notes").stdout == notes
    (released / "CHANGELOG.md").write_text("## [Unreleased]\nlater\n")
    done = run_release(released, "notes")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f'release: CHANGELOG.md has no part "## [{__version__}]"\n'


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == __version__


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{path.name}: {name}", job)
        for path in WORKFLOWS
        for name, job in yaml.safe_load(path.read_text())["jobs"].items()
    ]


def test_actions_are_pinned_by_commit_with_their_version_beside_it() -> None:
    used = [line for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
    assert len(used) > 5
    pinned = re.compile(r" +(- )?uses: (actions)/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [line for line in used if not pinned.fullmatch(line)] == []
    # one action has the same version in every job
    versions = {line.partition("uses: ")[2] for line in used}
    assert len(versions) == len({version.partition("@")[0] for version in versions})


def test_only_jobs_that_publish_may_write_or_sign() -> None:
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text())["permissions"] in ({}, {"contents": "read"}), path.name
    granted = {
        where: set(job["permissions"].items()) - {("contents", "read")} for where, job in jobs() if "permissions" in job
    }
    assert {where for where, more in granted.items() if more} == {
        f"release.yml: {name}" for name in ("attest", "image", "image-index", "pypi", "github-release")
    }
    # no stored secret: what a release needs is given to its identity
    secrets = {name for path in WORKFLOWS for name in re.findall(r"secrets\.(\w+)", path.read_text())}
    assert secrets == {"GITHUB_TOKEN"}


def test_no_expression_is_pasted_into_a_shell() -> None:
    """An expression inside `run` is replaced before the shell reads the line; variables are not."""
    steps = [(where, step) for where, job in jobs() for step in job["steps"] if "run" in step]
    assert steps
    assert [where for where, step in steps if "${{" in step["run"]] == []
    assert all("pull_request_target" not in path.read_text() for path in WORKFLOWS)


def test_the_workflows_call_what_is_there_and_end() -> None:
    called: set[str] = set()
    for where, job in jobs():
        assert job["timeout-minutes"] <= 180, where
        for step in job["steps"]:
            called |= set(re.findall(r"scripts/\w+", step.get("run", "")))
    assert called >= {
        "scripts/lint",
        "scripts/test",
        "scripts/docs",
        "scripts/release",
        "scripts/supply",
        "scripts/image",
    }
    assert [name for name in called if not os.access(ROOT / name, os.X_OK)] == []


def test_both_architectures_are_built_and_the_index_is_what_is_signed() -> None:
    found = yaml.safe_load((GITHUB / "workflows" / "release.yml").read_text())["jobs"]
    assert [each["architecture"] for each in found["image"]["strategy"]["matrix"]["include"]] == ["amd64", "arm64"]
    signed = found["image-index"]["steps"][-1]["with"]
    assert signed["subject-digest"] == "${{ steps.index.outputs.digest }}"


@pytest.mark.parametrize("form", sorted(GITHUB.glob("ISSUE_TEMPLATE/*.yml")), ids=lambda path: path.stem)
def test_issue_forms_have_what_github_requires(form: Path) -> None:
    content = yaml.safe_load(form.read_text())
    if form.stem == "config":
        return
    assert {"name", "description", "body"} <= set(content)
    inputs = [each for each in content["body"] if each["type"] != "markdown"]
    assert any(each.get("validations", {}).get("required") for each in inputs)
    ids = [each["id"] for each in inputs]
    assert len(ids) == len(set(ids))
    assert all(each["attributes"]["label"] for each in inputs)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "CODE_OF_CONDUCT.md"])
def test_links_of_the_pages_for_contributors_exist(page: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text())
    assert links
    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []


@pytest.mark.parametrize("text", ["[a](b.md)", "![a](b.png)", "[a](b.md#c), [d](e.md)"])
def test_relative_links_become_absolute(text: str) -> None:
    from metadata_hook import with_absolute_links

    assert RELATIVE.findall(with_absolute_links(text, ADDRESS, "v1")) == []


@pytest.mark.parametrize("text", ["[a](https://b.example/c)", "[a](#b)", "[a](mailto:b@c.example)", "a [b] (c)"])
def test_other_links_stay(text: str) -> None:
    from metadata_hook import with_absolute_links

    assert with_absolute_links(text, ADDRESS, "v1") == text


@pytest.mark.parametrize(
    ("job", "words"),
    [
        # an owner with capitals is valid at GitHub, and not in an image name (attest-build-provenance, issue 71)
        ("image", "image=${IMAGE,,}"),
        ("image-index", "image=${IMAGE,,}"),
        # of builds that push one tag, the last wins (coreruleset/modsecurity-crs-docker, pull request 447)
        ("image", 'docker push "$image:$VERSION-$ARCHITECTURE"'),
        # a job that is run again after it uploaded one of two files has to upload the other
        ("pypi", "--skip-existing"),
        ("pypi", "--attestations"),
    ],
)
def test_what_went_wrong_in_the_releases_of_others(job: str, words: str) -> None:
    found = yaml.safe_load((GITHUB / "workflows" / "release.yml").read_text())["jobs"][job]
    assert any(words in step.get("run", "") for step in found["steps"])


def test_lint_reports_workflows_that_it_could_not_check(tmp_path: Path) -> None:
    check = re.search(r"^ACTIONLINT=.*?^}$", (ROOT / "scripts" / "lint").read_text(), re.MULTILINE | re.DOTALL)
    assert check
    environment = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    command = [shutil.which("bash") or "bash", "-c", f"{check[0]}\ncheck_workflows"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("lint: NOT CHECKED: .github/workflows")
