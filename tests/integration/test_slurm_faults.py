"""Slurm's moods, as a real slurmctld, munged and slurmdbd have them: no pod is lost, and none runs twice."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.counting_pods import counting, ran_once
from tests.pods import Json, key, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.sidecar import Answer
from tests.sites import Site
from tests.vk import Watched

# The mood is the job's comment, which is a user's own like its name and the folder that it starts in
MOODY_SBATCH = """\
#!/bin/bash
for script; do :; done
fail() { echo "sbatch: error: Batch job submission failed: $1" >&2; exit 1; }
case $(sed -n 's/^#SBATCH --comment=//p' "$script") in
    timed-out) sbatch "$@" >/dev/null; fail "Socket timed out on send/recv operation" ;;
    receive-failure) sbatch "$@" >/dev/null; fail "Unable to contact slurm controller (receive failure)" ;;
    killed) sbatch "$@" >/dev/null; kill -KILL $$ ;;
    silent) sbatch "$@" >/dev/null; exit ;;
    slow) sleep 3 ;;
    copied) cp "$script" "$HOME/.moods/copy-$$"; exec sbatch "${@:1:$#-1}" "$HOME/.moods/copy-$$" ;;
    stdin) exec sbatch "${@:1:$#-1}" <"$script" ;;
    digits) sbatch "$@"; echo 42; exit ;;
    hidden) sbatch "$@" >/dev/null; echo 4242; exit ;;
    warns) echo "your project expires soon"; echo "sbatch: error: be nice" >&2 ;;
esac
exec sbatch "$@"
"""
MOODS = ("timed-out", "receive-failure", "killed", "silent", "slow", "warns", "digits", "hidden")
COPIES = ("copied", "stdin")


def moody(mood: str) -> tuple[Json, str]:
    """A pod that sbatch has a mood about, with flags of a user who knows nothing of us; and the file of its runs."""
    a_pod, out = counting("exit 3")
    a_pod["metadata"]["annotations"]["slurm-job.vk.io/flags"] += f" --comment={mood} --job-name=mine --chdir=/tmp"
    return a_pod, out


def test_whatever_sbatch_says_a_pod_has_the_one_job_that_slurm_took(site: Site, serve: Serve) -> None:
    site.write("/home/hpcuser/.moods/sbatch", MOODY_SBATCH, "755")
    served = serve(site, SbatchPath="/home/hpcuser/.moods/sbatch")
    pods = {mood: moody(mood) for mood in MOODS}
    with ThreadPoolExecutor(len(pods)) as threads:
        created = list(threads.map(lambda each: served.vk.create(request(each[0])), pods.values()))
    for watched, (a_pod, out) in zip(created, pods.values(), strict=True):
        assert watched.until_over().exit_code("c") == 3
        wait_until(
            lambda watched=watched, a_pod=a_pod: (
                served.site.jobs(f"{served.root}/{key(a_pod)}/").keys()
                == {served.client.status(watched.pod).json[0]["JID"]}
            ),
            "the pod has the job that Slurm took",
        )
        assert ran_once(served, a_pod, out)


def test_a_job_that_runs_a_copied_script_belongs_to_its_pod(site: Site, serve: Serve) -> None:
    """An account's wrapper of sbatch adds options to a copy, or passes the script on stdin."""
    site.write("/home/hpcuser/.moods/sbatch", MOODY_SBATCH, "755")
    served = serve(site, SbatchPath="/home/hpcuser/.moods/sbatch")
    ending = [(served.vk.create(request(a_pod)), out) for a_pod, out in map(moody, COPIES)]
    running = []
    for mood in COPIES:
        body = request(pod(sh("c", "sleep 600"), flags=f"--comment={mood}"))
        running.append(served.vk.create(body).until_running("c"))
    for watched, out in ending:
        assert watched.until_over().exit_code("c") == 3
        assert site.exec(f"cat {out}") == "ran\n"
    for watched in running:
        watched.delete()
        served.until_gone(watched.pod)
        assert site.exec(f"squeue --noheader --states=all --jobs={watched.job} --format=%T").strip() in (
            "FAILED",
            "CANCELLED",
        )


# --- daemons ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def served_fragile(fragile_site: Site, serve: Serve) -> Serving:
    served = serve(fragile_site)
    wait_until(lambda: served.client.ping()["resources"]["pods"] != "0", "the site was asked")
    return served


@contextmanager
def without(site: Site, gone: str, back: str) -> Iterator[Callable[[], None]]:
    """Something is done to a daemon, and undone by calling what this gives, or at the end."""
    site.exec(gone)
    undone: list[str] = []

    def undo() -> None:
        if not undone:
            undone.append(site.exec(back))

    try:
        yield undo
    finally:
        undo()


def creating(served: Serving, body: Json, threads: ThreadPoolExecutor) -> Future[Answer]:
    """A create that is under way: the site has begun to carry it out."""
    asked = threads.submit(served.client.create, body)
    attempt = f"{served.root}/.remote-slurm/claims/{key(body['pod'])}.attempt"
    wait_until(lambda: served.site.exec(f"[ ! -e {attempt} ] || echo there"), "sbatch was called")
    return asked


def accepted_and_ran_once(served: Serving, answer: Answer, a_pod: Json, out: str) -> None:
    assert answer.json["PodUID"] == a_pod["metadata"]["uid"]
    over = Watched(served.client, a_pod, answer.json["PodJID"]).until_over()
    assert over.exit_code("c") == 3
    assert ran_once(served, a_pod, out)


OUTAGES = {
    "slurmctld": "(connect failure)",
    "munged": "Munge encode failed",
}


@pytest.mark.parametrize("daemon", OUTAGES)
def test_a_pod_that_comes_while_a_daemon_is_away_waits_for_it(served_fragile: Serving, daemon: str) -> None:
    """sbatch gives up by itself; what it says then shows that nothing was sent."""
    site = served_fragile.site
    a_pod, out = counting("exit 3")
    with without(site, f"site-daemon stop {daemon}", f"site-daemon start {daemon}") as back:
        answer = served_fragile.client.create(request(a_pod))
        assert answer.json["PodJID"] == ""
        waiting = Watched(served_fragile.client, a_pod)
        waiting.until_true(lambda: OUTAGES[daemon] in str(waiting.state("c")), "it says what sbatch said")
        assert "waiting" in waiting.state("c")
        back()
    accepted_and_ran_once(served_fragile, answer, a_pod, out)


def test_a_slurmctld_that_restarts_while_sbatch_waits_is_not_noticed(served_fragile: Serving) -> None:
    a_pod, out = counting("exit 3")
    stopped = without(served_fragile.site, "site-daemon stop slurmctld", "site-daemon start slurmctld")
    with ThreadPoolExecutor(1) as threads, stopped as start:
        asked = creating(served_fragile, request(a_pod), threads)
        start()
        accepted_and_ran_once(served_fragile, asked.result(), a_pod, out)
        assert asked.result().json["PodJID"]


FREEZE, THAW = "kill -STOP $(cat /run/slurmctld.pid)", "kill -CONT $(cat /run/slurmctld.pid)"


def test_a_slurmctld_that_takes_the_job_after_sbatch_gave_up(served_fragile: Serving) -> None:
    """Its connection is accepted by the kernel, and the job is accepted later, when sbatch has timed out."""
    a_pod, out = counting("exit 3")
    with ThreadPoolExecutor(1) as threads, without(served_fragile.site, FREEZE, THAW) as thaw:
        asked = creating(served_fragile, request(a_pod), threads)
        wait_until(lambda: "Socket timed out" in served_fragile.sidecar.log, "sbatch has given up")
        thaw()
        accepted_and_ran_once(served_fragile, asked.result(), a_pod, out)


def test_a_job_lost_with_slurmctld_is_not_submitted_again(served_fragile: Serving) -> None:
    a_pod, _ = counting("exit 3")
    killed = "site-daemon kill slurmctld; site-daemon start slurmctld"
    with ThreadPoolExecutor(1) as threads, without(served_fragile.site, FREEZE, killed) as kill:
        asked = creating(served_fragile, request(a_pod), threads)
        kill()
        wait_until(
            lambda: "searching for the job of a submission" in served_fragile.sidecar.log,
            "the job is looked for",
        )
        watched = Watched(served_fragile.client, a_pod)
        watched.delete()
        assert not asked.result().text.isdigit()
    served_fragile.until_gone(a_pod)
    assert served_fragile.jobs_of(a_pod) == []


# --- a site's own scripts --------------------------------------------------------------------------------------------

PROLOG = "#!/bin/sh\n[ ! -e /etc/slurm/no-prolog ] || exit 1\n"
EPILOG = "#!/bin/sh\n[ ! -e /etc/slurm/no-epilog ] || exit 1\n"
TASK_PROLOG = "#!/bin/sh\necho print welcome to the node\necho export PATH=/site/bin\necho unset HOME\necho noise\n"
JOB_SUBMIT = """\
function slurm_job_submit(job, partitions, uid)
  if job.comment == "refused" then
    slurm.log_user("Your project has no hours left.\\nWrite to help@example.org")
    return slurm.ERROR
  end
  if job.comment == "changed" then
    job.partition = "short" job.name = "renamed" job.time_limit = 3 job.comment = "charged"
    slurm.log_user("4242")
  end
  if job.comment == "broken" then local none = nil; none.field = 1 end
  return slurm.SUCCESS
end
function slurm_job_modify(job, record, partitions, uid) return slurm.SUCCESS end
return slurm.SUCCESS
"""
CLI_FILTER = """\
function slurm_cli_setup_defaults(options, early) slurm.log_info("welcome") return slurm.SUCCESS end
function slurm_cli_pre_submit(options, offset) print("checking your quota: 77 GB left") return slurm.SUCCESS end
function slurm_cli_post_submit(offset, job, step) print("4711") return slurm.SUCCESS end
return slurm.SUCCESS
"""
FILES = {
    "prolog": PROLOG,
    "epilog": EPILOG,
    "task_prolog": TASK_PROLOG,
    "job_submit.lua": JOB_SUBMIT,
    "cli_filter.lua": CLI_FILTER,
}
KEYS = "Prolog=/etc/slurm/prolog Epilog=/etc/slurm/epilog TaskProlog=/etc/slurm/task_prolog"
PLUGINS = "JobSubmitPlugins=lua CliFilterPlugins=lua"
RESUME = "rm -f /etc/slurm/no-*; scontrol update nodename=ALL state=resume"
RESTART = "for way in stop start; do site-daemon $way slurmctld; site-daemon $way slurmd; done"


@pytest.fixture
def served_scripted(fragile_site: Site, serve: Serve) -> Iterator[Serving]:
    """A site with a prolog, an epilog, a TaskProlog and Lua plugins that print, change jobs and refuse them."""
    for name, text in FILES.items():
        fragile_site.write(f"/home/hpcuser/.scripted/{name}", text, "755")
    copy = "cp slurm.conf slurm.conf.before; cp /home/hpcuser/.scripted/* ."
    fragile_site.exec(f"cd /etc/slurm; {copy}; printf '%s\\n' {KEYS} {PLUGINS} >>slurm.conf; {RESTART}")
    try:
        yield serve(fragile_site)
    finally:
        fragile_site.exec(f"{RESUME}; cd /etc/slurm; mv slurm.conf.before slurm.conf; {RESTART}")


def test_a_site_with_scripts_of_its_own(served_scripted: Serving) -> None:
    served, site = served_scripted, served_scripted.site

    def create(comment: str, flags: str = "", script: str = "echo $HOME; exit 3") -> Watched:
        return served.vk.create(request(pod(sh("c", script), flags=f"--comment={comment} {flags}")))

    refused = served.client.create(request(pod(sh("c", "true"), flags="--comment=refused")))
    assert "Your project has no hours left.; Write to help@example.org" in refused.text
    for each in [create("changed"), create("broken")]:
        assert each.until_over().exit_code("c") == 3
        assert each.log("c") == "/home/hpcuser\n"
        each.delete()
    site.exec("touch /etc/slurm/no-epilog")
    drained = create("epilog").until_over()
    assert drained.exit_code("c") == 3
    wait_until(lambda: "Epilog error" in site.exec("sinfo -h -R"), "the node is drained")
    site.exec(f"{RESUME}; touch /etc/slurm/no-prolog")
    held = create("prolog", "--requeue")
    held.until_true(lambda: "held" in held.state("c").get("waiting", {}).get("message", ""), "its job is held")
    message = held.state("c")["waiting"]["message"]
    assert message.endswith("its node could not start it, as if the node's prolog fails, and it is held")
    held.delete()
    site.exec(f"{RESUME}; touch /etc/slurm/no-prolog")
    cancelled = create("prolog").until_over()
    assert "Slurm also does so if the prolog of node hpc-" in cancelled.terminated("c")["message"]
    site.exec(RESUME)
    assert create("again").until_over().exit_code("c") == 3


# --- a site that limits requests --------------------------------------------------------------------------------------

LIMIT = "SlurmctldParameters=rl_enable,rl_bucket_size=30,rl_refill_rate=2"
LIMITED = 36


@pytest.fixture
def served_limited(fragile_site: Site, serve: Serve) -> Iterator[Serving]:
    """slurmctld takes 30 requests of the account at once, and then 2 a second."""
    restart = "site-daemon stop slurmctld; site-daemon start slurmctld"
    fragile_site.exec(f"cd /etc/slurm; cp slurm.conf slurm.conf.before; echo {LIMIT} >>slurm.conf; {restart}")
    try:
        yield serve(fragile_site, PollInterval=5)
    finally:
        fragile_site.exec(f"cd /etc/slurm; mv slurm.conf.before slurm.conf; {restart}")


def test_a_burst_at_a_site_that_limits_requests_waits(served_limited: Serving) -> None:
    """Submissions, polls and deletes: no pod fails, and none is lost or doubled."""
    served, site = served_limited, served_limited.site
    bodies = [request(pod(sh("c", "sleep 600"), flags="" if n < 3 else "--hold")) for n in range(LIMITED)]
    with ThreadPoolExecutor(LIMITED) as threads:
        jobs = [each.json["PodJID"] for each in threads.map(served.client.create, bodies)]
    assert len(set(jobs)) == LIMITED
    assert all(job.isdigit() for job in jobs)
    assert sorted(site.jobs(served.root)) == sorted(jobs)
    for body in bodies:
        served.client.delete(body["pod"])
    wait_until(lambda: not served.journal, "all deletes are carried out")
    assert [path for path in site.files(served.root) if not path.startswith(".remote-slurm")] == []
    assert sorted(site.jobs(served.root)) == sorted(jobs), "each pod had one job"
    assert "the poll failed" not in served.sidecar.log
    log = site.exec("cat /var/log/slurm/slurmctld.log")
    assert "RPC rate limit exceeded" in log, "the site has limited requests"


# --- jobs that slurmctld has forgotten -------------------------------------------------------------------------------

# A poll waits as long as this file exists
HELD_SQUEUE = """\
#!/bin/sh
while [ -e "$HOME/.held/on" ]; do sleep 0.2; done
exec squeue "$@"
"""


def test_jobs_that_are_purged_before_the_next_poll(accounted_site: Site, serve: Serve) -> None:
    """Pods that ran are known by their records; pods that never began by sacct, once slurmdbd is back."""
    held = "/home/hpcuser/.held"
    accounted_site.write(f"{held}/squeue", HELD_SQUEUE, "755")
    with without(accounted_site, "site-daemon stop slurmdbd", "site-daemon start slurmdbd") as start:
        served = serve(accounted_site, SqueuePath=f"{held}/squeue")
        wait_until(lambda: "poll succeeded, the site is reachable" in served.sidecar.log, "the first poll is over")
        cancelled = served.vk.create(request(pod(sh("c", "true"), flags="--begin=now+1hour")))
        with without(served.site, f"touch {held}/on", f"rm {held}/on"):
            ran = served.vk.create(request(pod(sh("c", "exit 3"))))
            served.site.exec(f"scancel {cancelled.job}")
            wait_until(lambda: not served.site.jobs(served.root), "squeue has forgotten both")
        wait_until(lambda: "sacct is unavailable" in served.sidecar.log, "sacct has failed")
        assert ran.until_over().exit_code("c") == 3
        assert cancelled.poll() == "Pending"
        start()
        assert cancelled.until_over().exit_code("c") != 0
