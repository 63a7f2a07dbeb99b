"""An account at a site, played by a local folder: the real scripts in a real shell, with stand-ins for Slurm."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from remote_slurm.config import Config
from remote_slurm.domain.shell import assignments
from remote_slurm.domain.slurm.squeue import active_command
from remote_slurm.errors import OutcomeUnknown
from remote_slurm.site.operation import script_text
from remote_slurm.site.remote_site import RemoteSite, Shells
from remote_slurm.site.reply import Reply
from remote_slurm.ssh.framing import FramedOutput as Framed
from remote_slurm.ssh.framing import KeptTexts, Request, bootstrap, frame, nonce, ready_mark
from remote_slurm.ssh.sessions import ConnectionStatus, OnOutput, Result


def _shells() -> list[list[str]]:
    """Each program once: sh is dash on Debian. Not bash, which is another shell if it is called sh."""
    found: dict[str, list[str]] = {}
    for words in ("sh", "bash", "dash", "busybox sh"):
        name, *_ = words.split()
        if path := shutil.which(name):
            program = Path(path).resolve().name
            found.setdefault(words if program == "bash" else program, words.split())
    return list(found.values())


SHELLS = _shells()

# A job is a folder below $SLURM/jobs with the files state, command and folder, and held where it is; a file named after
# a stand-in changes what it does next.
_SBATCH = """\
unset DIES_AT
echo "sbatch" >>"$SLURM/calls"
for script; do :; done
once=
if [ -e "$SLURM/sbatch.once" ]; then
    once=yes
    rm "$SLURM/sbatch.once"
    trap 'rm -f "$SLURM/sbatch.refuses"' EXIT
fi
if [ -e "$SLURM/sbatch.refuses" ]; then cat "$SLURM/sbatch.refuses" >&2; exit "$(cat "$SLURM/sbatch.code")"; fi
if [ -e "$SLURM/sbatch.slow" ]; then sleep "$(cat "$SLURM/sbatch.slow")"; fi
id=101
until mkdir "$SLURM/jobs/$id" 2>/dev/null; do id=$((id + 1)); done
tasks=
for word; do
    case $word in --array=*) tasks=${word#--array=} tasks=${tasks%%%*} ;; esac
done
each() {
    mkdir -p "$SLURM/jobs/$1"
    case " $words " in *" --hold "*) : >"$SLURM/jobs/$1/held" ;; esac
    date +%s >"$SLURM/jobs/$1/submitted"
    printf '%s' "$script" >"$SLURM/jobs/$1/command"
    cp "$SLURM/arguments.$id" "$SLURM/jobs/$1/arguments"
    pwd >"$SLURM/jobs/$1/folder"
    printf '%s' PENDING >"$SLURM/jobs/$1/state"
}
words=$*
printf '%s\\n' "$@" >"$SLURM/arguments.$id"
if [ -z "$tasks" ]; then each "$id"; fi
IFS=,
for task in $tasks; do
    each "${id}_$task"
    cp "$script" "$SLURM/jobs/${id}_$task/script"  # Slurm keeps it, and a script of an array may be moved away
done
unset IFS
if [ -e "$SLURM/sbatch.warns" ]; then cat "$SLURM/sbatch.warns" >&2; fi
if [ -e "$SLURM/sbatch.dies" ]; then [ -z "$once" ] || rm "$SLURM/sbatch.dies"; kill -KILL $$; fi
if [ -e "$SLURM/sbatch.lies" ]; then cat "$SLURM/sbatch.lies" >&2; rm "$SLURM/sbatch.lies"; exit 1; fi
if [ -e "$SLURM/sbatch.says" ]; then cat "$SLURM/sbatch.says"; else echo "$id"; fi
"""
_SQUEUE = """\
unset DIES_AT
echo "squeue" >>"$SLURM/calls"
if [ -e "$SLURM/squeue.fails" ]; then cat "$SLURM/squeue.fails" >&2; exit 1; fi
all= form= only=
for word; do
    case $word in
        --states=all) all=yes ;;
        --format=*) form=${word#--format=} ;;
        --Format=StdOut:*) form=output ;;
        --Format=JobArrayID:40,StdOut:4096) form=outputs ;;
        --jobs=*) only=${word#--jobs=} ;;
    esac
done
# tasks that wait share a row
rows_of_arrays() {
    awk -F '|' '
        $1 !~ /_/ || $2 != "PENDING" { print; next }
        { split($1, id, "_"); tasks[id[1]] = tasks[id[1]] (tasks[id[1]] == "" ? "" : ",") id[2]
          row[id[1]] = substr($0, length($1) + 1) }
        END { for (each in tasks) print each "_" (tasks[each] ~ /,/ ? "[" tasks[each] "]" : tasks[each]) row[each] }
    '
}
start=2026-11-24T00:00:00
if [ "$SLURM_TIME_FORMAT" = %s ] && [ "$TZ" = UTC ]; then start=1795478290; fi
for job in "$SLURM"/jobs/*; do
    [ -e "$job/state" ] || continue
    state=$(cat "$job/state")
    case $all$state in COMPLETED | FAILED | CANCELLED) continue ;; esac
    command=$(cat "$job/command")
    id=${job##*/}
    submitted=$(cat "$job/submitted")
    reason=None
    if [ -e "$job/held" ]; then reason=JobHeldUser; fi
    case $form in
        '%i|%T|%V|%o') printf '%s|%s|%s|%s\\n' "$id" "$state" "$submitted" "$command" ;;
        %A) printf '%s\\n' "$id" ;;
        output) [ "$id" != "$only" ] || sed -n 's/^--output=//p' "$job/arguments" ;;
        outputs)
            case ,$only, in
                *,$id,*) printf '%-40s%s\\n' "$id" "$(sed -n 's/^--output=//p' "$job/arguments")" ;;
            esac
            ;;
        '%i|%T|%r|%S|%B|%V|%P|%e|%o')
            printf '%s|%s|%s|%s|%s|%s|%s|%s|%s\\n' "$id" "$state" "$reason" "$start" n1 "$submitted" main N/A "$command"
            ;;
        '%i|%T|%r|%S|%B|%V|%P|%e|%o|%k')
            comment=$(cat "$job/comment" 2>/dev/null)
            set -- main N/A "$command" "$comment"
            printf '%s|%s|%s|%s|%s|%s|%s|%s|%s|%s\\n' "$id" "$state" "$reason" "$start" n1 "$submitted" "$@"
            ;;
        *) echo "squeue: no such format: $form" >&2; exit 1 ;;
    esac
done | rows_of_arrays
"""
_SCANCEL = """\
unset DIES_AT
echo "scancel $*" >>"$SLURM/calls"
cat >/dev/null
if [ -e "$SLURM/scancel.fails" ]; then rm "$SLURM/scancel.fails"; exit 1; fi
case $* in *--signal*) exit ;; esac
for id; do
    case $id.$(cat "$SLURM/jobs/$id/state" 2>/dev/null) in
        *_*.PENDING) rm -r "$SLURM/jobs/$id" ;;  # nothing shows it any more
        *) [ ! -d "$SLURM/jobs/$id" ] || echo CANCELLED >"$SLURM/jobs/$id/state" ;;
    esac
done
"""
_SCONTROL = """\
echo "scontrol $*" >>"$SLURM/calls"
case $1 in
    release) rm -f "$SLURM/jobs/$2/held" ;;
    update)
        for word; do
            case $word in
                JobId=*) job=$SLURM/jobs/${word#JobId=} ;;
                Comment=*) printf '%s' "${word#Comment=}" >"$job/.comment" && mv "$job/.comment" "$job/comment" ;;
            esac
        done
        ;;
    *) exit 1 ;;
esac
"""
# What is run beside a job: it has the same files, since all of it is played here
_SRUN = """\
echo "srun $*" >>"$SLURM/calls"
for line; do :; done
exec sh -c "$line"
"""
# Every command that a mortal session calls is a step: right before the one that is named all in it is killed, or
# right after it where its number is negative. Two that run at once, in a pipe, have a number each.
_STEP = """\
if [ -n "$DIES_AT" ]; then
    step=1
    set -C
    until echo "${{0##*/}}" 2>/dev/null >"$SLURM/steps/$step"; do step=$((step + 1)); done
    set +C
    [ "$step" -ne "$DIES_AT" ] || kill -KILL 0
    if [ "-$step" = "$DIES_AT" ]; then
        {command} "$@"
        kill -KILL 0
    fi
fi
exec {command} "$@"
"""
_STEPS = ("cat", "chmod", "date", "find", "grep", "head", "ln", "mkdir", "mv", "readlink", "rm", "rmdir", "sed",
          "tail", "tar")  # fmt: skip
_SACCT = """\
if [ "$1" = --helpformat ]; then echo "State SubmitLine"; exit; fi
echo "sacct $*" >>"$SLURM/calls"
if [ -e "$SLURM/sacct.fails" ]; then cat "$SLURM/sacct.fails" >&2; exit 1; fi
cat "$SLURM/sacct.says"
"""


def _write_command(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)


class Account:
    """Everything that a test asks of, or does to, one account."""

    def __init__(self, home: Path, shell: list[str], root: str = "jobs", *, shared_fs: bool = True) -> None:
        self.home = home
        self.shell = shell
        self.shared_fs = shared_fs
        self.root_setting = root
        self.root = home / root
        self.poll_seconds = 1
        self.in_front = ""  # shell that each script begins with
        self.dies_at: int | None = None  # the step at which the next script `dies_in` is killed
        self.dies_in = "submit"
        self.slurm = home / "slurm"
        self.bin = home / "bin"
        self.counted = home / "counted"  # commands that count themselves as steps; of mortal sessions only
        (self.slurm / "jobs").mkdir(parents=True)
        self.bin.mkdir()
        for name, text in (
            ("sbatch", _SBATCH),
            ("squeue", _SQUEUE),
            ("scancel", _SCANCEL),
            ("sacct", _SACCT),
            ("scontrol", _SCONTROL),
            ("srun", _SRUN),
        ):
            self.command(name, text)
        self.environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(home),
            "SLURM": str(self.slurm),
        }

    def command(self, name: str, text: str) -> None:
        _write_command(self.bin / name, text)

    def count_steps(self) -> None:
        """Make it possible that a script dies at one of them; not in busybox, which runs its own commands."""
        (self.slurm / "steps").mkdir()
        self.counted.mkdir()
        own = {name: self.bin / name for name in ("sbatch", "scancel", "scontrol")}
        for name, command in {**{name: shutil.which(name) for name in _STEPS}, **own}.items():
            _write_command(self.counted / name, _STEP.format(command=command))

    @property
    def steps(self) -> int:
        """How many the last submission took that could have died."""
        return len(list((self.slurm / "steps").iterdir()))

    def forget_steps(self) -> None:
        """Count those of the next script that may die anew."""
        for path in (self.slurm / "steps").iterdir():
            path.unlink()

    def step(self, number: int) -> str:
        """The command that was that step; empty where it did not come to it."""
        path = self.slurm / "steps" / str(number)
        return path.read_text().strip() if path.exists() else ""

    def tell(self, what: str, text: str = "") -> None:
        """Change what a stand-in does from now on, such as `sbatch.slow`."""
        (self.slurm / what).write_text(text)

    def refuse(self, words: str, code: int = 1) -> None:
        self.tell("sbatch.refuses", words)
        self.tell("sbatch.code", str(code))

    def calls(self, command: str) -> list[str]:
        path = self.slurm / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.split()[0] == command]

    def job(self, job_id: str, state: str, command: str | Path) -> None:
        folder = self.slurm / "jobs" / job_id
        folder.mkdir(exist_ok=True)
        (folder / "state").write_text(state)
        (folder / "command").write_text(str(command))
        (folder / "arguments").write_text(f"--output=/home/somebody/slurm-{job_id}.out\n")
        (folder / "submitted").write_text(str(int(time.time())))

    def alter(self, job_id: str, shell: str) -> None:
        """Change what the stand-ins know of a job, by shell that finds its folder in $job."""
        subprocess.run(["sh", "-c", shell], env=os.environ | {"job": str(self.slurm / "jobs" / job_id)}, check=True)

    def jobs(self) -> list[str]:
        return sorted(path.name for path in (self.slurm / "jobs").iterdir() if (path / "state").exists())

    def run_jobs(self) -> None:
        """Run each job that waits, one after another, as a node would."""
        for job in sorted((self.slurm / "jobs").iterdir()):
            state = job / "state"
            if not state.exists() or state.read_text() != "PENDING" or (job / "held").exists():
                continue
            environment = {"SLURM_JOB_ID": job.name, "SLURM_SUBMIT_DIR": (job / "folder").read_text().strip()}
            array, _, task = job.name.partition("_")
            if task:
                (Path(environment["SLURM_SUBMIT_DIR"]) / f"{task}.out").touch()
                own_id = str(10000 * int(array) + int(task))
                environment |= {
                    "SLURM_JOB_ID": own_id,
                    "SLURM_ARRAY_JOB_ID": array,
                    "SLURM_ARRAY_TASK_ID": task,
                }
            if not self.shared_fs:
                node = self.home / "node"
                node.mkdir(exist_ok=True)
                environment = {"SLURM": str(self.slurm), "SLURM_JOB_ID": job.name, "TMPDIR": str(node)}
            state.write_text("RUNNING")
            script = job / "script"
            ended = subprocess.run(
                ["bash", script if script.exists() else (job / "command").read_text()],
                env={"PATH": os.environ["PATH"], "HOME": str(self.home)} | environment,
                check=False,
                capture_output=True,
            )
            (job / "output").write_bytes(ended.stdout + ended.stderr)
            state.write_text("FAILED" if ended.returncode else "COMPLETED")

    @property
    def claims(self) -> Path:
        return self.root / ".remote-slurm" / "claims"

    # --- asking ---

    @property
    def config(self) -> Config:
        keys = {"SSH": {"HostName": "h.example.org", "User": "u", "IdentityFile": "/k"}, "StateFolder": "/none"}
        return Config.model_validate(
            {
                **keys,
                "DataRootFolder": self.root_setting,
                "ContainerRuntime": "none",
                "PollInterval": self.poll_seconds,
                "JobArrays": "always",
                "SHARED_FS": self.shared_fs,
                # jobs have a PATH of their own
                "ScontrolPath": str((self.counted if self.counted.exists() else self.bin) / "scontrol"),
                "JobVariables": ["SLURM"],
                "FetchSeconds": 1,
                "ResourceScriptPath": "bin/resources",
                "Policy": {"AllowedAnnotations": ["*"]},
            }
        )

    @property
    def site(self) -> RemoteSite:
        return RemoteSite(LocalShells(self), self.config)

    def owner(self) -> RemoteSite:
        """As a sidecar that serves asks it."""
        return RemoteSite(LocalShells(self), self.config, owner=True)

    def session(self, **environment: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.shell,
            cwd=self.home,
            env=self.environment | environment,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def fate(self, script: str) -> dict[str, str]:
        """The environment of a session for this script: the next one `dies_in` dies where `dies_at` says."""
        if self.dies_at is None or f"\n{self.dies_in}() {{" not in script:
            return {}
        step, self.dies_at = str(self.dies_at), None
        return {"DIES_AT": step, "PATH": f"{self.counted}:{self.environment['PATH']}"}

    def script(self, name: str, **values: str) -> str:
        text = assignments({"root": self.root_setting, **values})
        attempts = (
            ("attempts",) if name in {"submit", "abandon"} else ()
        )  # its variables are those of other scripts, too
        return text + "".join(script_text(each) for each in ("root", "arrays", *attempts, name))

    def ask(self, name: str, payload: bytes = b"", *, cut: int | None = None, **values: Any) -> Reply:
        """One script; `cut` is how much of its payload arrives before the connection is cut."""
        result = self.run(self.script(name, **values), payload, cut=cut)
        return Reply.parse(name, result.output.decode())

    def submission(self, pods: str, **values: str) -> dict[str, str]:
        """The input of submit.sh for one pod, or for several with a space between."""
        incoming = f".remote-slurm/incoming/{pods.split(maxsplit=1)[0]}.{secrets.token_hex(6)}"
        usual = {"seconds": "10", "wait_seconds": "0", "incoming": incoming, "sbatch": "sbatch", "scancel": "scancel"}
        usual["squeue"] = active_command("squeue")
        usual |= {"libraries": "", "sums": "", "sent": ""}
        return usual | {"pods": pods, "packed": pods, "pulling": pods, "alone": pods, "arrays": ""} | values

    def submit(self, pods: str, payload: bytes, *, cut: int | None = None, **values: str) -> Reply:
        return self.ask("submit", payload, cut=cut, **self.submission(pods, **values))

    def run(self, script: str, payload: bytes = b"", texts: tuple[str, ...] = (), *, cut: int | None = None) -> Result:
        """As `Sessions.run` does it over SSH: the same session, the same frame."""
        asked, ready = KeptTexts().frame(Request(self.in_front + script, payload, texts)), nonce()
        answer = Framed(asked)
        parts = []
        with self.session(**self.fate("\n".join((script, *texts)))) as session:
            assert session.stdin is not None
            assert session.stdout is not None
            session.stdin.write(bootstrap(ready))
            session.stdin.flush()
            heard = b"."
            while heard and ready_mark(ready) not in heard:
                more = os.read(session.stdout.fileno(), 4096)
                heard = heard + more if more else b""
            with contextlib.suppress(BrokenPipeError):
                session.stdin.write(asked.data if cut is None else asked.data[: asked.script_end + cut])
                session.stdin.flush()
                if cut is not None:
                    session.stdin.close()
                while answer.exit_code is None:
                    data = os.read(session.stdout.fileno(), 65536)
                    if not data:
                        break
                    parts.append(answer.feed(data))
            with contextlib.suppress(BrokenPipeError):
                session.stdin.close()
        return Result(-1 if answer.exit_code is None else answer.exit_code, b"".join(parts))

    def hang_up(self, script: str, payload: bytes, when: Callable[[], bool]) -> None:
        """The connection dies: its output has no reader, and what the session runs gets the signal that sshd sends."""
        asked = frame(script, payload)
        with self.session() as session:
            assert session.stdin is not None
            assert session.stdout is not None
            session.stdin.write(bootstrap(nonce()))
            session.stdin.flush()
            session.stdout.read(1)  # the shell may read ahead before
            session.stdin.write(asked.data)
            session.stdin.flush()
            while not when():
                time.sleep(0.02)
            session.stdout.close()
            os.killpg(session.pid, signal.SIGHUP)


class LocalShells(Shells):
    """What a `Site` asks of sessions, at an account that is played here."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.loses_next_reply = False

    @property
    def connection_status(self) -> ConnectionStatus:
        raise NotImplementedError

    async def run(self, request: Request, *, deadline: float, on_output: OnOutput | None = None) -> Result:
        async with asyncio.timeout(deadline):
            result = await asyncio.to_thread(self.arrived, request)
        if self.loses_next_reply:
            self.loses_next_reply = False
            raise OutcomeUnknown("the reply was lost")
        if on_output:
            on_output(result.output)
        if result.exit_code < 0:
            raise OutcomeUnknown("the session was killed")
        return result

    def arrived(self, request: Request) -> Result:
        """What becomes of it at the site."""
        return self._account.run(request.script, request.payload, request.texts)

    async def stream(self, script: str, *, followed: bool = True) -> AsyncGenerator[bytes, None]:
        del followed
        yield (await asyncio.to_thread(self.arrived, Request(script))).output
