"""How long folders stay at a site: of finished pods as KeepFinished says, and of those that run despite a purge."""

from pods import Json, key, pod, request, sh
from serving import Serve, Serving, wait_until
from sites import Site


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


def test_a_purge_of_old_files_breaks_nothing_that_runs(site: Site, serve: Serve) -> None:
    """The clock is helped along: all is made old, and the job's keeper, which sleeps for half a day, is woken."""
    served = serve(site)
    running = served.vk.create(config_pod()).until_running("c")
    folder = f"{served.root}/{key(running.pod)}"
    wait_until(lambda: not unread_by(served), "what it told so far is read and removed")
    site.exec(f"find {served.root} -exec touch -h -d '40 days ago' {{}} + 2>/dev/null || :")  # what is there
    site.exec(
        f'for process in $(pgrep -u hpcuser -x sleep); do [ "$(readlink /proc/$process/cwd)" != $PWD/{folder} ] || '
        "! grep -qz 43200 /proc/$process/cmdline || kill $process; done"
    )
    claim = f"{served.root}/.remote-slurm/claims/{key(running.pod)}.job"
    wait_until(lambda: site.exec(f"find {claim} -mtime -1"), "the claim, which comes last, is fresh")
    purge = f"find {served.root} -mindepth 1 ! -type d -mtime +21 -print -delete 2>/dev/null || :"
    purged = site.exec(purge)
    assert purged == ""
    site.exec(f"touch {folder}/volumes/go/now")
    assert running.until_over().exit_code("c") == 3
    assert running.terminated("c")["message"] == "last words"
    assert running.log("c") == "hello\n"
    assert served.vk.create(request(pod(sh("c", "exit 4")))).until_over().exit_code("c") == 4
    running.delete()
    served.until_gone(running.pod)
