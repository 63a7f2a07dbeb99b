"""How a job's shell starts, in a real bash with a hostile environment."""

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from remote_slurm.domain.plan.file_transfer import SharedFiles
from remote_slurm.domain.plan.job_start import PATH, job_start
from remote_slurm.domain.plan.payload import library_name
from tests.job.node import BASH

POD = "it's a pod"


def started(tmp_path: Path, environment: dict[str, str], *kept: str, root: str = "/not/there") -> dict[str, str]:
    """The environment of what the job's shell starts."""
    script = tmp_path / "slurm_script"
    transfer = SharedFiles(root)
    text = f"#!{BASH} -p\n{job_start(transfer.enter_folder(POD, kept), profile=False)}exec env -0\n"
    scripts = transfer.further_scripts(kept)
    for each in {tmp_path.parent, Path(root) if root.startswith(str(tmp_path)) else tmp_path.parent}:
        library = each / ".remote-slurm" / "lib" / library_name(scripts)
        library.mkdir(parents=True, exist_ok=True)
        for name, content in scripts.items():
            (library / name).write_bytes(content)
    script.write_text(transfer.with_scripts(text, scripts))
    script.chmod(0o700)
    slurms = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_USER": "me"}
    # subprocess refuses no name but those with a `=`
    run = subprocess.run([script], env=slurms | environment, cwd="/", capture_output=True, check=True, timeout=60)
    assert not run.stderr, run.stderr
    return dict(entry.split("=", 1) for entry in run.stdout.decode().split("\0") if entry)


def test_what_reaches_children_is_what_slurm_says_and_a_fixed_path(tmp_path: Path) -> None:
    left = started(tmp_path, {"PATH": "/evil", "HOME": "/evil", "USER": "root", "SHELLOPTS": "xtrace", "IFS": "L"})
    assert left.pop("HOME") == pwd.getpwuid(os.getuid()).pw_dir
    for ours in ("OLDPWD", "SHLVL", "_"):
        left.pop(ours, None)
    assert left == {
        "SLURM_JOB_ID": "7",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_USER": "me",
        "USER": "me",
        "LOGNAME": "me",
        "PATH": PATH,
        "PWD": str(tmp_path),
    }


def test_a_job_enters_its_folder_by_the_path_with_links_that_nodes_share(tmp_path: Path) -> None:
    (tmp_path / "mnt" / "it's a pod").mkdir(parents=True)
    (tmp_path / "data").symlink_to("mnt")
    shared = f"{tmp_path}/data/it's a pod"
    for login_nodes in ("/mnt/not/on/this/node", f"{tmp_path}/mnt/it's a pod"):
        left = started(tmp_path, {"SLURM_SUBMIT_DIR": login_nodes}, root=f"{tmp_path}/data")
        assert (left["PWD"], left["SLURM_SUBMIT_DIR"]) == (shared, shared)


@pytest.mark.parametrize(
    "name",
    [
        "BASH_ENV", "ENV", "BASH_FUNC_umask%%", "BASH_FUNC_cd()", "CDPATH", "GLOBIGNORE", "BASHOPTS", "PS4",
        "PROMPT_COMMAND", "APPTAINER_BIND", "APPTAINERENV_X", "SINGULARITY_BINDPATH", "SINGULARITYENV_X", "PODMAN_X",
        "CONTAINERS_CONF", "CONTAINER_HOST", "STORAGE_DRIVER", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG",
        "ENROOT_DATA_PATH", "XDG_CONFIG_HOME", "LD_LIBRARY_PATH", "GCONV_PATH", "LOCPATH", "NLSPATH", "PYTHONPATH",
        "PERL5LIB", "OMPI_MCA_plm_rsh_agent", "HYDRA_LAUNCHER_EXEC", "PMIX_MCA_x", "SLURM_TASK_PROLOG",
        "SLURM_TASK_EPILOG", "SLURM_EXPORT_ENV", "SLURM_CONTAINER", "SLURM_WORKING_CLUSTER", "SSH_AUTH_SOCK", "WORK",
    ],
)  # fmt: skip
def test_what_loaders_shells_and_runtimes_read_is_dropped(tmp_path: Path, name: str) -> None:
    assert name not in started(tmp_path, {name: "/evil"})


def test_a_command_in_the_name_of_a_variable_does_not_run(tmp_path: Path) -> None:
    started(tmp_path, {f"SLURM_JOB_x[$(:>{tmp_path}/ran)]": "1", f"LC_x[$(:>{tmp_path}/ran)]": "1"})
    assert not (tmp_path / "ran").exists()


def test_values_arrive_byte_for_byte(tmp_path: Path) -> None:
    value = "a\nb $(:) `:` 'c' \"d\" \\ ü=x "
    assert started(tmp_path, {"SCRATCH_A": value, "SCRATCH": "no", "WORK": "w"}, "WORK", "SCRATCH_*") == started(
        tmp_path, {}
    ) | {"SCRATCH_A": value, "WORK": "w"}


@pytest.mark.parametrize("name", ["SLURM_RESTART_COUNT", "SLURM_NTASKS"])
def test_what_is_no_number_is_dropped(tmp_path: Path, name: str) -> None:
    assert name not in started(tmp_path, {name: "1 run=2"})
    assert started(tmp_path, {name: "2"})[name] == "2"
