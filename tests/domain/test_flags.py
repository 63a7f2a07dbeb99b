"""sbatch's flags: every form that sbatch reads, none that would break the pod, and lines that sbatch reads back."""

import pytest

from remote_slurm.domain.slurm.flags import Flag, merge_flags, parse_flags
from remote_slurm.domain.slurm.sbatch_options import SBATCH_OPTIONS, why_not_for_pods
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import container, flag_lines, pod

WHERE = "the flags of pod default/hello"


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("", []),
        ("   \n\t ", []),
        ("--partition=gpu", [("partition", "gpu")]),
        ("--partition gpu", [("partition", "gpu")]),
        ("-p gpu", [("partition", "gpu")]),
        ("-pgpu", [("partition", "gpu")]),
        ("-Jname", [("job-name", "name")]),
        ("-n4 -c 2", [("ntasks", "4"), ("cpus-per-task", "2")]),
        ("-B 2:4:1", [("extra-node-info", "2:4:1")]),
        ("--job-name='two words'", [("job-name", "two words")]),
        ('--comment="it\'s"', [("comment", "it's")]),
        ("--comment=a\\ b", [("comment", "a b")]),
        ("--comment=a=b", [("comment", "a=b")]),
        ("--comment=", [("comment", "")]),
        ("--time=1-00:00:00\n--nodes=2", [("time", "1-00:00:00"), ("nodes", "2")]),
        ("--contiguous --hold", [("contiguous", None), ("hold", None)]),
        ("-H -Q", [("hold", None), ("quiet", None)]),
        ("--exclusive", [("exclusive", None)]),
        ("--exclusive=user", [("exclusive", "user")]),
        ("--exclusive -p gpu", [("exclusive", None), ("partition", "gpu")]),
        ("--nice=5 --nice", [("nice", "5"), ("nice", None)]),
        ("--dependency=afterok:1:2,afterany:3", [("dependency", "afterok:1:2,afterany:3")]),
        ("--a-flag-of-a-site-plugin=1", [("a-flag-of-a-site-plugin", "1")]),
        ("--requeue", [("requeue", None)]),
        ("--wait-all-nodes=1", [("wait-all-nodes", "1")]),
        ("--comment=ünï", [("comment", "ünï")]),
    ],
)
def test_forms(text: str, flags: list[tuple[str, str | None]]) -> None:
    assert parse_flags(text, WHERE) == [Flag(*flag) for flag in flags]


FORBIDDEN = [
    "--array=1-2", "-a 1-2", "-a1-2", "--arr=1-2", "--ar 1-2", "--wrap=true", "--wra true", "--wait", "-W", "--wai",
    "--output=/tmp/x", "--output /tmp/x", "-o /tmp/x", "-o/tmp/x", "--outp x", "--o=x", "--input=x", "-i x", "--inp x",
    "-e /tmp/x", "--error=/tmp/x", "--err x",
    "--clusters=other", "-M other", "-Mother", "--cluster x", "--uid=0", "--ui 0", "--gid=0", "--gi 0", "--parsable",
    "--parsabl", "--pars", "--test-only", "--test", "--help", "-h", "--hel", "--usage", "--usag", "--version", "-V",
    "--vers", "--autocomplete=x", "--auto x", "--external", "--exter", "--cluster=x",
]  # fmt: skip


@pytest.mark.parametrize("text", FORBIDDEN)
def test_flags_that_would_break_the_pod_and_their_abbreviations(text: str) -> None:
    with pytest.raises(
        InvalidRequest, match=rf"^{WHERE}: --[a-z-]+ (cannot be used here: |needs a value|takes no value)"
    ):
        parse_flags(text, WHERE)
    with pytest.raises(InvalidRequest):
        parse_flags(f"-t 10 {text}", WHERE)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("--array=1-2", "--array cannot be used here: one pod is one job"),
        ("--arr=1-2", "--array cannot be used here: one pod is one job"),
        ("--outp x", "--output cannot be used here: the job's output belongs into the pod's folder"),
        ("--partition", "--partition needs a value"),
        ("--partition --time=1", "--partition needs a value"),
        ("-p", "--partition needs a value"),
        ("--hold=yes", "--hold takes no value, but has 'yes'"),
        ("gpu", "'gpu' is not an sbatch option: options start with '-' or '--'"),
        ("-t 10 20", "'20' is not an sbatch option: options start with '-' or '--'"),
        ("--exclusive user", "'user' is not an sbatch option: options start with '-' or '--'"),
        ("--", "'--' is not an sbatch option: options start with '-' or '--'"),
        ("-", "'-' is not an sbatch option: options start with '-' or '--'"),
        ("-9", "'-9' is not an sbatch option: options start with '-' or '--'"),
    ],
)
def test_the_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_flags(text, WHERE)
    assert str(caught.value) == f"{WHERE}: {sentence}"


@pytest.mark.parametrize(
    "text",
    ["'--a b=1'", "--A=1", "--a_b=1", "'--a;b=1'", "'--$(id)=1'", "'--a\nb=1'", "--=1", "---p=1", "--ä=1", "--5=1"],
)
def test_what_is_no_name_of_a_flag(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not the name of an sbatch flag"):
        parse_flags(text, WHERE)


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\tb", "a\0b", "\x1b[0m", "a\u2028b", "a\x85b", "x" * 4001])
def test_values_that_no_sbatch_line_can_hold(value: str) -> None:
    with pytest.raises(InvalidRequest, match="the value of --comment must be one printable line"):
        parse_flags(f"--comment='{value}'", WHERE)


@pytest.mark.parametrize("text", ["--comment='a", '--comment="a', "--comment=a\\"])
def test_an_unfinished_quotation(text: str) -> None:
    with pytest.raises(InvalidRequest, match="have an unterminated quotation mark"):
        parse_flags(text, WHERE)


def read_back(line: str) -> list[str]:
    """The arguments that sbatch makes of an `#SBATCH` line: a port of get_argument() in its opt.c (Slurm 24.11)."""
    arguments: list[str] = []
    current: str | None = None
    quote, escaped = "", False
    for character in line.removeprefix("#SBATCH"):
        if escaped:
            current, escaped = (current or "") + character, False
        elif character == "\\":
            escaped = True
        elif quote:
            current, quote = (current or "", "") if character == quote else ((current or "") + character, quote)
        elif character.isspace():
            arguments += [] if current is None else [current]
            current = None
        elif character in "\"'":
            current, quote = current or "", character
        elif character == "#":
            break
        else:
            current = (current or "") + character
    return arguments + ([] if current is None else [current])


@pytest.mark.parametrize(
    "value",
    [
        "plain", "a b", " a", "a ", "", "#", "a #b", "a#b", '"', "'", "it's", 'a"=0"', "a'; echo foo", "\\", "a\\",
        "\\\\", '\\"', "$(touch x)", "`id`", "$HOME", "!", "a!b", "%j", "~", "*", "a;b", "a|b", "a&b", "a>b", "-n",
        "--wrap=x", "ünï", "日本", "a,b:c/d@e%f+g=[1-2]", "#SBATCH --wrap=x",
    ],
)  # fmt: skip
def test_sbatch_reads_back_what_was_meant(value: str) -> None:
    assert read_back(Flag("comment", value).line()) == [f"--comment={value}"]


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        (Flag("hold"), "#SBATCH --hold"),
        (Flag("time", "10"), "#SBATCH --time=10"),
        (Flag("comment", "a b"), '#SBATCH --comment="a b"'),
        (Flag("comment", 'say "\\"'), '#SBATCH --comment="say \\"\\\\\\""'),
        (Flag("comment", ""), '#SBATCH --comment=""'),
    ],
)
def test_a_line_is_readable_where_it_can_be(flag: Flag, line: str) -> None:
    assert flag.line() == line


@pytest.mark.parametrize(
    ("sources", "merged"),
    [
        (["-t 1", "-t 2"], "--time=2"),
        (["--time=1", "-t 2"], "--time=2"),
        (["-t 1 --time=2"], "--time=2"),
        (["--mem=1G", "--mem-per-cpu=2"], "--mem-per-cpu=2"),
        (["--mem-per-cpu=2", "--mem=1G"], "--mem=1G"),
        (["--mem-per-gpu=2", "--mem-per-cpu=1", "--mem=3"], "--mem=3"),
        (["--no-requeue", "--requeue"], "--requeue"),
        (["--requeue", "--no-requeue"], "--no-requeue"),
        (["--mem-bind=local", "--mem=1"], "--mem-bind=local --mem=1"),
        (["-p a -n 1", "-p b"], "--partition=b --ntasks=1"),
    ],
)
def test_a_later_flag_wins_by_name_and_group(sources: list[str], merged: str) -> None:
    flags = merge_flags(*(parse_flags(source, WHERE) for source in sources))
    assert " ".join(flag.line().removeprefix("#SBATCH ") for flag in flags) == merged


# --- pods -------------------------------------------------------------------------------------------------------------

DEFAULTS = ["--job-name=hello", "--no-requeue", "--cpus-per-task=1"]


def annotated(flags: str, prefix: str = "slurm-job.vk.io", **resources: str) -> list[str]:
    limits = container(resources={"limits": resources})
    return flag_lines(pod(limits, annotations={f"{prefix}/flags": flags}))


@pytest.mark.parametrize(
    "settings", [{}, {"DefaultMemory": "1Gi"}, {"ResourceFlags": {"memory": "--mem-per-cpu={mib}M"}}]
)
@pytest.mark.parametrize("limits", [{}, {"memory": "100Mi"}])
def test_a_forced_mem_0_requests_all_memory_of_a_node(settings: dict[str, object], limits: dict[str, str]) -> None:
    body = pod(container(resources={"limits": limits}))
    lines = flag_lines(body, Policy={"ForcedFlags": ["--mem=0"]}, **settings)
    assert [line for line in lines if line.startswith("--mem")] == ["--mem=0"]


def test_the_defaults() -> None:
    assert flag_lines(pod()) == DEFAULTS
    assert flag_lines(pod(), DefaultCPU="4", DefaultMemory="2Gi") == [*DEFAULTS[:2], "--cpus-per-task=4", "--mem=2048M"]
    assert flag_lines(pod(), DefaultMemory="1M") == [*DEFAULTS, "--mem=1M"]
    assert flag_lines(pod(), DefaultMemory="none") == DEFAULTS


def test_the_first_example_of_the_reference_plugins_readme() -> None:
    flags = "--job-name=test-pod-cfg -t 2800  --ntasks=8 --nodes=1 --mem-per-cpu=2000"
    lines = annotated(flags, "slurm-job.knoc.io", memory="100Mi", cpu="2")
    assert sorted(lines) == [
        "--cpus-per-task=2", "--job-name=test-pod-cfg", "--mem=100M", "--no-requeue", "--nodes=1", "--ntasks=8",
        "--time=2800",
    ]  # fmt: skip


def test_the_second_example_of_the_reference_plugins_readme() -> None:
    lines = annotated("--job-name=test-pod", "slurm-job.knoc.io", memory="8G", cpu="2")
    assert lines == ["--job-name=test-pod", "--no-requeue", "--cpus-per-task=2", "--mem=7630M"]


def test_the_newer_prefix_wins_over_the_older_one() -> None:
    both = {"slurm-job.knoc.io/flags": "-t 1", "slurm-job.vk.io/flags": "-t 2"}
    assert "--time=2" in flag_lines(pod(annotations=both))
    assert "--time=1" in flag_lines(pod(annotations={**both, "slurm-job.vk.io/flags": ""}))


def test_resources_override_flags_which_override_defaults() -> None:
    assert "--cpus-per-task=8" in annotated("-c 8")
    assert "--cpus-per-task=2" in annotated("-c 8", cpu="2")
    assert "--mem-per-cpu=500" in annotated("--mem-per-cpu=500")
    assert not [line for line in annotated("--mem-per-cpu=500") if line.startswith("--mem=")]


def test_gpus() -> None:
    assert "--gres=gpu:2" in annotated("", **{"nvidia.com/gpu": "2"})
    assert "--gres=gpu:a100:1" in annotated("--gres=gpu:a100:4", **{"amd.com/gpu": "1"})
    assert "--gres=gpu:a100:4" in annotated("--gres=gpu:a100:4")


def test_a_job_is_requeued_only_where_the_flags_ask_for_it() -> None:
    lines = annotated("--requeue")
    assert "--requeue" in lines
    assert "--no-requeue" not in lines


# Every name that sbatch takes in one of Slurm 20.11 to 26.05, including names that its help does not show
NAMES_IN_SLURM = """
    account acctg-freq array autocomplete batch bb bbf begin chdir cluster cluster-constraint clusters comment
    consolidate-segments constraint container container-id container-type context contiguous core-spec
    cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot dependency distribution error
    exclude exclusive export export-file external extra extra-node-info get-user-env gid gpu-bind gpu-freq gpus
    gpus-per-node gpus-per-socket gpus-per-task gres gres-flags help hint hold ignore-pbs input job-name
    kill-on-invalid-dep licenses mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mem-update
    mincpus network nice no-kill no-requeue nodefile nodelist nodes ntasks ntasks-per-core ntasks-per-gpu
    ntasks-per-node ntasks-per-socket ntasks-per-tres oom-kill-step open-mode output overcommit oversubscribe
    parsable partition power prefer priority profile propagate qos quiet reboot requeue reservation resources
    resv-ports segment signal sockets-per-node spread-job spread-segments stepmgr switches tasks-per-node
    test-only thread-spec threads-per-core time time-min tmp tres-bind tres-per-task uid usage use-min-nodes
    verbose version wait wait-all-nodes wckey wrap
"""


def test_every_option_of_every_slurm_has_a_class() -> None:
    names, of_older_ones = {*NAMES_IN_SLURM.split()}, {"disable-stdout-job-summary", "immediate"}
    assert {*SBATCH_OPTIONS} == names | of_older_ones


def test_an_option_that_pods_cannot_set_has_a_reason() -> None:
    refused = {name for name in SBATCH_OPTIONS if why_not_for_pods(name)}
    assert refused >= {"export", "export-file", "get-user-env", "container", "nodefile", "bb", "bbf", "uid", "clusters"}
    assert refused.isdisjoint({"account", "partition", "qos", "time", "mem", "gres", "chdir", "comment", "signal"})


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"memory": "none"}, ["--cpus-per-task=2"]),
        ({"memory": "--mem-per-cpu={mib}M"}, ["--cpus-per-task=2", "--mem-per-cpu=3072M"]),
        ({"memory": "--tmp={count}", "cpu": "--ntasks={count}"}, ["--ntasks=2", "--tmp=3221225472"]),
        ({"cpu": "none", "memory": "none"}, []),
    ],
)
@pytest.mark.parametrize("says", [{"cpu": "2", "memory": "3Gi"}, {}], ids=["of the pod", "of the defaults"])
def test_resource_flags_name_the_options_of_cpu_and_memory(
    says: dict[str, str], flags: dict[str, str], expected: list[str]
) -> None:
    settings = {"ResourceFlags": flags, "DefaultCPU": "2", "DefaultMemory": "3Gi"}
    lines = flag_lines(pod(container(resources={"limits": says})), **settings)
    assert [line for line in lines if not line.startswith(("--job-name", "--no-requeue"))] == expected
