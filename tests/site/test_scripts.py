"""What is sent of the scripts that run at the site."""

import subprocess
from importlib.resources import files

import pytest

from remote_slurm.domain.shell import without_comments
from remote_slurm.site.operation import script_text

FOLDER = files("remote_slurm.site") / "operations"
NAMES = sorted(path.name.removesuffix(".sh") for path in FOLDER.iterdir() if path.name.endswith(".sh"))


@pytest.mark.parametrize("name", NAMES)
def test_a_script_without_comments_is_the_same_shell(name: str) -> None:
    def as_bash_reads_it(text: str) -> str:
        whole = f"whole() {{\n{text}\n}}\ndeclare -f whole"
        shown = subprocess.run(["bash", "-c", whole], capture_output=True, text=True, check=True).stdout
        return without_comments(shown)  # text in quotes may be shell for a node

    assert as_bash_reads_it(script_text(name)) == as_bash_reads_it((FOLDER / f"{name}.sh").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_no_comment_is_sent(name: str) -> None:
    assert not [line for line in script_text(name).splitlines() if line.lstrip().startswith("#") or "  # " in line]
