"""All options of sbatch(1), Slurm 20.11 to 26.05, each with its form and its class.

The class decides who may set an option. tests/integration/test_sbatch_options.py compares the table with the help of
sbatch at each test site: an option in no class fails that test. Options of SPANK plugins are in no table, since only
the site knows them: they count as TRUSTED.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class OptionClass(Enum):
    """Who may set an sbatch option: see the members."""

    JOB = auto()
    """Placement, resources, time or accounting of the pod's own job. Pods may set it."""
    TRUSTED = auto()
    """Carries environment, files or programs of the account. Pods may set it only if Policy.AllowedFlags names it."""
    BEYOND = auto()
    """Changes what the job belongs to, or more of the site than the job. The same rule as for TRUSTED."""
    OURS = auto()
    """Contradicts how the sidecar submits jobs. Neither pods nor the configuration can set it."""


class Form(Enum):
    """Whether an option takes a value."""

    FLAG = auto()
    OPTIONAL = auto()
    VALUE = auto()


@dataclass(frozen=True, slots=True)
class SbatchOption:
    """One option by its long name; `reason` completes the sentence that refuses it."""

    name: str
    option_class: OptionClass
    form: Form
    short: str = ""
    reason: str = ""


_NO_JOB = "no job would be submitted"
_OUTPUT = "the job's output belongs into the pod's folder"
_CLUSTER = "the job has to be found again in the cluster that the site's squeue shows"
_USER = "jobs run as the SSH user"

# A value is written `=`, an optional one `[=]`; a letter is the short form
_JOB = """
    A account=  acctg-freq=  batch=  b begin=  D chdir=  comment=  consolidate-segments  C constraint=  contiguous
    S core-spec=  cores-per-socket=  cpu-freq=  cpus-per-gpu=  c cpus-per-task=  deadline=  delay-boot=  d dependency=
    disable-stdout-job-summary  m distribution=  x exclude=  exclusive[=]  extra=  B extra-node-info=  gpu-bind=
    gpu-freq=  G gpus=  gpus-per-node=  gpus-per-socket=  gpus-per-task=  gres=  gres-flags=  hint=  H hold  ignore-pbs
    I immediate[=]  J job-name=  kill-on-invalid-dep=  L licenses=  mail-type=  mail-user=  mem=  mem-bind=
    mem-per-cpu=  mem-per-gpu=  mem-update=  mincpus=  network=  nice[=]  k no-kill[=]  no-requeue  w nodelist=
    N nodes=  n ntasks=  ntasks-per-core=  ntasks-per-gpu=  ntasks-per-node=  ntasks-per-socket=  ntasks-per-tres=
    oom-kill-step[=]  open-mode=  O overcommit  s oversubscribe[=]  p partition=  prefer=  priority=  profile=
    propagate[=]  q qos=  Q quiet  requeue[=]  reservation=  resources=  resv-ports[=]  segment=  signal=
    sockets-per-node=  spread-job  spread-segments  stepmgr  switches=  tasks-per-node=  thread-spec=  threads-per-core=
    t time=  time-min=  tmp=  tres-bind=  tres-per-task=  use-min-nodes  v verbose  wait-all-nodes=  wckey=
"""

_TRUSTED = {
    "bb=": "it stages files of the account",
    "bbf=": "it reads a file on the login node",
    "container=": "it runs the job inside a container of its own",
    "container-id=": "it runs the job inside a container of its own",
    "container-type=": "it runs the job inside a container of its own",
    "export=": "it sets the environment of the job's shell",
    "export-file=": "it sets the environment of the job's shell",
    "get-user-env[=]": "it sets the environment of the job's shell",
    "F nodefile=": "it reads a file on the login node",
}

_BEYOND = {
    "cluster-constraint=": "it moves the job to another cluster",
    "context=": "it changes the SELinux context of the job",
    "mcs-label=": "it changes who can see the job",
    "power=": "it changes the power settings of nodes",
    "reboot": "it reboots the job's nodes",
}

_OURS = {
    "a array=": "one pod is one job",
    "autocomplete=": _NO_JOB,
    "cluster=": _CLUSTER,
    "M clusters=": _CLUSTER,
    "e error=": _OUTPUT,
    "external": "the job would run no script",
    "gid=": _USER,
    "h help": _NO_JOB,
    "i input=": "the job's input is its script",
    "o output=": _OUTPUT,
    "parsable": "the sidecar sets it itself",
    "test-only": _NO_JOB,
    "uid=": _USER,
    "usage": _NO_JOB,
    "V version": _NO_JOB,
    "W wait": "sbatch would not return before the job ends",
    "wrap=": "the job's script is made from the pod",
}


def _option(text: str, option_class: OptionClass, reason: str = "") -> SbatchOption:
    short, _, written = text.rpartition(" ")
    name = written.rstrip("[=]")
    form = {"": Form.FLAG, "=": Form.VALUE, "[=]": Form.OPTIONAL}[written.removeprefix(name)]
    return SbatchOption(name, option_class, form, short, reason)


def _pairs(words: list[str]) -> list[str]:
    """`A account=` is one entry: a single letter, and the name that it abbreviates."""
    entries = []
    while words:
        word = words.pop(0)
        entries.append(f"{word} {words.pop(0)}" if len(word) == 1 else word)
    return entries


def _table() -> dict[str, SbatchOption]:
    options = [_option(text, OptionClass.JOB) for text in _pairs(_JOB.split())]
    for option_class, entries in (
        (OptionClass.TRUSTED, _TRUSTED),
        (OptionClass.BEYOND, _BEYOND),
        (OptionClass.OURS, _OURS),
    ):
        options += [_option(text, option_class, reason) for text, reason in entries.items()]
    return {option.name: option for option in options}


SBATCH_OPTIONS = _table()
"""By the long name."""

SHORT_OPTIONS = {option.short: option.name for option in SBATCH_OPTIONS.values() if option.short}


def why_not_for_pods(name: str) -> str:
    """Why only a rule of the operator lets pods set this option, as the end of a sentence; empty if pods may set it."""
    option = SBATCH_OPTIONS.get(name)
    if option is None:
        return "it is not an option of Slurm itself, and what a site's plugin does with it is not known here"
    return "" if option.option_class is OptionClass.JOB else option.reason
