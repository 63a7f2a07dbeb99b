"""Values of variables and credentials must not be in job.sh, in what `render` prints, or in a message."""

import io
import subprocess
import tarfile
from typing import Any

import pytest

from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.plan.script import job_files, payload, render_containers, render_job
from remote_slurm.domain.shell import Hidden, words
from remote_slurm.errors import InvalidRequest
from remote_slurm.job import SCRIPTS
from tests.domain.podspec import config, container, plan, pod, request

SECRET = "hunter2-of-the-database"
ENV = [{"name": "DB_PASSWORD", "value": SECRET}]
REFERENCE = "--password=$(DB_PASSWORD)"
RUNTIMES = ["apptainer", "podman", "podman-hpc", "enroot", "none"]


def scripts(body: dict[str, Any], **settings: Any) -> str:
    """All text that Slurm stores and `render` prints."""
    planned = plan(body, settings={"EnableProbes": True, **settings})
    job, containers = render_job(planned), render_containers(planned)
    return job + (containers if planned.annotations.pre_exec else "")


def hidden(body: dict[str, Any], **settings: Any) -> list[str]:
    """The words in the file that the runner reads."""
    files = job_files(plan(body, settings={"EnableProbes": True, **settings}), SCRIPTS)
    content = [file.content or b"" for file in files if file.path == "secret/words"]
    return content[0].decode().split("\0")[:-1] if content else []


def with_mount(**mount: Any) -> dict[str, Any]:
    mounting = container(env=ENV, volumeMounts=[{"name": "v", "mountPath": "/v", **mount}])
    return pod(mounting, volumes=[{"name": "v", "emptyDir": {}}])


PROBED = {"exec": {"command": ["check", REFERENCE]}}
HEADERS = {"httpGet": {"port": 80, "path": f"/health?token={SECRET}", "httpHeaders": [{"name": "A", "value": SECRET}]}}
PODS = {
    "command": pod(container("main", "serve", REFERENCE, env=ENV)),
    "args": pod(container("main", "serve", args=[REFERENCE], env=ENV)),
    "init": pod(container(), initContainers=[container("first", "serve", REFERENCE, env=ENV)]),
    "probe": pod(container(livenessProbe=PROBED, env=ENV)),
    "headers": pod(container(startupProbe=HEADERS)),
    "post-start": pod(container(lifecycle={"postStart": HEADERS})),
    "pre-stop": pod(container(lifecycle={"preStop": HEADERS})),
    "sub-path": with_mount(subPathExpr="$(DB_PASSWORD)"),
    "commands": pod(annotations={"slurm-job.vk.io/singularity-commands": f"DB_PASSWORD={SECRET}"}),
    "options": pod(annotations={"slurm-job.vk.io/singularity-options": f"--env A={SECRET}"}),
    "pre-exec": pod(
        container("main", "serve", REFERENCE, env=ENV),
        annotations={"slurm-job.vk.io/pre-exec": f"export A={SECRET}"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("case", PODS)
def test_a_value_is_not_in_the_script(case: str, runtime: str) -> None:
    settings = {"ContainerRuntime": runtime}
    if runtime == "podman-hpc":
        settings["SingularityDefaultOptions"] = []
    assert SECRET not in scripts(PODS[case], **settings)


def test_a_value_is_put_together_from_the_file() -> None:
    assert hidden(PODS["args"]) == [f"--password={SECRET}"]
    assert '    serve "${hidden[0]}"\n' in scripts(PODS["args"])
    assert "\nhidden_words secret/words count=1\n" in scripts(PODS["args"])


def test_without_hidden_words_there_is_no_file() -> None:
    plain = pod(container("main", "sh", "-c", "echo $$(NAME) $(UNKNOWN)\n\techo", env=ENV))
    assert hidden(plain) == []
    assert "hidden" not in scripts(plain)
    assert "echo $(NAME) $(UNKNOWN)\n\techo" in scripts(plain), "the text of a script stays readable"


def test_podmans_entrypoint_is_hidden_as_a_whole() -> None:
    assert hidden(PODS["command"], ContainerRuntime="podman") == [f'--entrypoint=["serve", "--password={SECRET}"]']


# sbatch says "Batch script contains DOS line breaks", and refuses it
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    "body",
    [
        pod(container("main", "sh", "-c", "echo a\r\necho b\r\n")),
        pod(container("main", "true", args=["a\r\nb"])),
        pod(container("main", "true", workingDir="/a\r\nb")),
        pod(container("main", "true", lifecycle={"preStop": {"exec": {"command": ["a\r\nb"]}}})),
        pod(container("main", "true", readinessProbe={"exec": {"command": ["a\r\nb"]}})),
        pod(container("main", "true", readinessProbe={"grpc": {"port": 1, "service": "a\r\nb"}})),
        pod(annotations={"slurm-job.vk.io/singularity-options": "--hostname 'a\r\nb'"}),
        pod(annotations={"slurm-job.vk.io/job-workdir": "/a\rb"}),
    ],
    ids=["script", "args", "folder", "hook", "probe", "grpc", "options", "workdir"],
)  # fmt: skip
def test_the_script_has_no_line_breaks_of_dos(body: dict[str, Any], runtime: str) -> None:
    assert "\r" not in scripts(body, ContainerRuntime=runtime)


@pytest.mark.parametrize("value", [f"../{SECRET}", f"/{SECRET}", f"{SECRET}:x", f"{SECRET},x"])
def test_a_refused_sub_path_does_not_print_the_value(value: str) -> None:
    body = with_mount(subPathExpr="$(DB_PASSWORD)")
    body["spec"]["containers"][0]["env"] = [{"name": "DB_PASSWORD", "value": value}]
    with pytest.raises(InvalidRequest) as refused:
        plan(body)
    assert SECRET not in str(refused.value)
    assert "$(DB_PASSWORD)" in str(refused.value)


@pytest.mark.parametrize(
    "annotation",
    [
        {"singularity-options": f"--env 'A={SECRET}"},
        {"mpi-flags": f"-x A={SECRET} true"},
        {"mpi-flags": f"-np {SECRET}"},
    ],
)
def test_a_refused_annotation_does_not_print_its_words(annotation: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        plan(pod(annotations={f"slurm-job.vk.io/{name}": value for name, value in annotation.items()}))
    assert SECRET not in str(refused.value)


def test_a_hidden_word_does_not_show_its_value() -> None:
    assert SECRET not in f"{Hidden(SECRET)} {Hidden(SECRET)!r}"
    with pytest.raises(TypeError, match="hidden") as refused:
        words([Hidden(SECRET)])
    assert SECRET not in str(refused.value)


def test_a_nul_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="NUL"):
        plan(pod(container("main", "a\0b")))


def test_where_nothing_is_shared_the_words_travel_with_the_other_files() -> None:
    settings = config(SHARED_FS=False, ContainerRuntime="none")
    carried = payload(plan_job(request(PODS["args"]), settings), SCRIPTS)
    with tarfile.open(fileobj=io.BytesIO(carried.archive)) as archive:
        script = (archive.extractfile(archive.getmembers()[-1]) or io.BytesIO()).read()
    text, _, folder = script.partition(b"base64 -d and tar -xz read them ---\n")
    assert SECRET.encode() not in text
    unpacked = subprocess.run(
        ["sh", "-c", "base64 -d | tar -xzOf - --wildcards '*/secret/words'"],
        input=folder,
        capture_output=True,
        check=True,
    )
    assert unpacked.stdout == f"--password={SECRET}\0".encode()
