"""Values of every kind, rendered and run through a real bash: what was data arrives as it is, and is never executed."""

import os
import subprocess
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from remote_slurm.domain.plan.payload import library_name
from remote_slurm.domain.plan.script import job_files, payload
from remote_slurm.job import SCRIPTS
from tests.domain.podspec import container, plan, pod
from tests.hypothesis_settings import effort

CANARY = "pwned"
COMMANDS = [f"$(touch {CANARY})", f"`touch {CANARY}`", f"'; touch {CANARY}; '", f'"; touch {CANARY}; "']
WORDS = [f"\ntouch {CANARY}\n", "ü", "\u2028", "-n", "$HOME", "${x}", "EOF", "\x01", "\x7f"]
PIECES = st.sampled_from([*COMMANDS, *WORDS, *"'\"\\$!*~#%&|;<>(){}[] \t\n\r"])
LETTERS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
# In Kubernetes a doubled $ is one
TEXTS = st.lists(PIECES | LETTERS, max_size=6).map(lambda parts: "".join(parts).replace("$$", "$ $"))


def run(body: dict[str, object], root: Path) -> bytes:
    """What the pod's container writes."""
    made = plan(body, settings={"ContainerRuntime": "none"})
    folder = root / made.pod
    for name in ("claims", "spool"):
        (root / ".remote-slurm" / name).mkdir(parents=True)
    scripts = payload(made, SCRIPTS).scripts
    library = root / ".remote-slurm" / "lib" / library_name(scripts)
    library.mkdir(parents=True)
    for name, text in scripts.items():
        (library / name).write_bytes(text)
    for file in job_files(made, SCRIPTS):
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.content is not None:
            path.write_bytes(file.content)
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": str(folder)}
    subprocess.run(["bash", folder / "job.sh"], env=environment, cwd=root, check=False, capture_output=True)
    assert list(root.rglob(CANARY)) == []
    log = folder / "logs/main.log"
    return log.read_bytes() if log.exists() else b""


@given(st.lists(TEXTS, max_size=4), TEXTS)
@effort(25)
def test_arguments_and_values_arrive_as_they_are(arguments: list[str], value: str) -> None:
    show = 'printf "%s\\0" "$VALUE" "$@"'
    body = pod(container("main", "sh", "-c", show, "sh", args=arguments, env=[{"name": "VALUE", "value": value}]))
    with tempfile.TemporaryDirectory() as root:
        log = run(body, Path(root))
    assert log.decode(errors="surrogateescape").split("\0")[:-1] == [value, *arguments]
