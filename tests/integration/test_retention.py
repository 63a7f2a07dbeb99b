"""How long folders stay at a site: of finished pods as KeepFinished says, and of running pods despite a purge."""

from collections.abc import Iterator

import pytest

from tests.pods import Json, key, pod, request, sh
from tests.registry import Registry
from tests.serving import Serve, Serving, wait_until
from tests.sites import Site
from tests.vk import Watched


def test_folders_of_finished_pods_go_after_keep_finished_and_others_stay(
    site: Site, serve: Serve, served24: Serving
) -> None:
    keeping = serve(site, KeepFinished=2)
    kept = served24.vk.create(request(pod(sh("c", "exit 3"))))
    runs = keeping.vk.create(request(pod(sh("c", "sleep 600")))).until_running("c")
    gone = keeping.vk.create(request(pod(sh("c", "exit 3")))).until_over()
    kept.until_over()
    wait_until(lambda: not keeping.left_of(gone.pod), "the folder is removed")
    assert gone.poll() == "Failed"
    assert gone.exit_code("c") == 3
    assert runs.poll() == "Running"
    assert key(runs.pod) in keeping.folders
    assert key(kept.pod) in served24.folders  # where nothing is said, until the pod is deleted
    kept.delete()
    served24.until_gone(kept.pod)


def config_pod() -> Json:
    script = "until [ -e /go/now ]; do sleep 0.2; done; cat /etc/config/greeting; echo last words >/mnt/message; exit 3"
    volumes = [{"name": "config", "configMap": {"name": "greetings"}}, {"name": "go", "emptyDir": {}}]
    mounts = [{"name": "config", "mountPath": "/etc/config"}, {"name": "go", "mountPath": "/go"}]
    a_pod = pod(sh("c", script, volumeMounts=mounts, terminationMessagePath="/mnt/message"), volumes=volumes)
    return request(a_pod, configMaps=[{"metadata": {"name": "greetings"}, "data": {"greeting": "hello\n"}}])


def unread_by(served: Serving) -> list[str]:
    """The records of jobs that the sidecar has not read, or read and not removed yet."""
    return [path for path in served.site.files(f"{served.root}/.remote-slurm/read") if path.count("/")]


def purge(served: Serving, running: Watched) -> str:
    """What a purge takes. The clock is helped along: all is made old, and the job's keeper is woken."""
    site, folder = served.site, f"{served.root}/{key(running.pod)}"
    wait_until(lambda: not unread_by(served), "what it told so far is read and removed")
    site.exec(f"find {served.root} -exec touch -h -d '40 days ago' {{}} + 2>/dev/null || :")  # what is there
    site.exec(
        f'for process in $(pgrep -u hpcuser -x sleep); do [ "$(readlink /proc/$process/cwd)" != $PWD/{folder} ] || '
        "! grep -qz 43200 /proc/$process/cmdline || kill $process; done"
    )
    claim = f"{served.root}/.remote-slurm/claims/{key(running.pod)}.job"
    wait_until(lambda: site.exec(f"find {claim} -mtime -1"), "the claim, which comes last, is fresh")
    old = f"find {served.root} -mindepth 1 -mtime +21"
    return site.exec(f"{old} ! -type d -print -delete 2>/dev/null; {old} -type d -empty -delete 2>/dev/null || :")


def test_a_purge_of_old_files_breaks_nothing_that_runs(site: Site, serve: Serve) -> None:
    served = serve(site)
    running = served.vk.create(config_pod()).until_running("c")
    assert purge(served, running) == ""
    site.exec(f"touch {served.root}/{key(running.pod)}/volumes/go/now")
    assert running.until_over().exit_code("c") == 3
    assert running.terminated("c")["message"] == "last words"
    assert running.log("c") == "hello\n"
    assert served.vk.create(request(pod(sh("c", "exit 4")))).until_over().exit_code("c") == 4
    running.delete()
    served.until_gone(running.pod)


@pytest.fixture
def registry(site: Site) -> Iterator[Registry]:
    registry = Registry(site.archive("/srv/images/busybox"))
    yield registry
    registry.stop()


def test_a_purge_leaves_a_pod_what_it_needs_to_be_started_again(site: Site, serve: Serve, registry: Registry) -> None:
    """Its image, which lies in the cache, and the links to what lies below its job-workdir."""
    served = serve(site, ImagePullRetries=0, RuntimeEnvironment={"APPTAINER_NOHTTPS": "1"})
    script = "if [ -e /go/now ]; then exit 0; fi; until [ -e /go/now ]; do sleep 0.2; done; exit 3"
    image = registry.push("kept/app:1")
    container = sh("c", script, image=image, imagePullPolicy="IfNotPresent")
    container["volumeMounts"] = [{"name": "go", "mountPath": "/go"}]
    a_pod = pod(container, volumes=[{"name": "go", "emptyDir": {}}], restartPolicy="OnFailure")
    elsewhere = f"/tmp/elsewhere-{registry.port}"
    a_pod["metadata"]["annotations"]["slurm-job.vk.io/job-workdir"] = elsewhere
    running = served.vk.create(request(a_pod)).until_running("c")
    purge(served, running)
    site.exec(f"touch {served.root}/{key(a_pod)}/volumes/go/now")
    running.until_over()
    assert running.status
    assert running.status["containers"][0]["lastState"]["terminated"]["exitCode"] == 3
    assert running.exit_code("c") == 0
    running.delete()
    wait_until(lambda: not served.journal, "it is deleted")
    assert key(a_pod) not in served.folders
    assert site.exec(f"ls -A {elsewhere}; rmdir {elsewhere}") == ""
