# shellcheck shell=bash
# If login and compute nodes share no file system (SHARED_FS: false): the pod's folder is on the node, and records are in the
# job's comment, which one squeue reads for all jobs. job.sh says
#
#   no_shared_fs SCONTROL fetch_timeout=SECONDS COMMENT    the pod's own COMMENT is kept behind ours; an ended job waits for so many
#                                            SECONDS until its logs were fetched
#
# The comment is `at=FOLDER;RECORD;RECORD;|COMMENT`, each record as records/ has it but for its first two words and its usage.
# Once all containers have ended and the logs can be fetched, `usage=USAGE;over;` is in it: domain/status/job_comment.py reads it.

comment_limit=1000     # bytes; Slurm takes 1024
comment_timeout=60     # seconds that an ended job waits for Slurm to accept its last comment
stopped_timeout=15     # seconds that a stopped job waits until its logs are fetched

no_shared_fs() {
    local_root=${PWD%/*}
    scontrol=$1
    fetch_timeout=${2#fetch_timeout=}
    comment=$3
    # inside mesh.sh, another shell removes it
    [[ $$ == "${REMOTE_SLURM_SHELL-}" ]] && own_until_end "$local_root"
    start_reporter
}

start_reporter() {
    report_changes &
    reporter=$!
    disown "$reporter"
    background_pids+=("$reporter")
}

# --- the comment -----------------------------------------------------------------------------------------------------

# One at a time, so that what is older never comes last; not more often than once a second, nor when nothing has changed.
report_changes() {
    local reported='' pause=1 sleeper=''
    LC_ALL=C  # count bytes, as Slurm does, and get its messages in English
    trap 'kill $sleeper 2>/dev/null; exit' TERM
    while :; do
        build_comment
        if [[ $text == "$reported" ]]; then
            pause=1
        elif update_comment "$text"; then
            reported=$text pause=1
        else
            pause=$((pause < 30 ? pause * 2 : 30))
        fi
        [[ $reported == *';over;|'* ]] && mark .reported && return
        [[ -e .ended ]] && return
        sleep "$pause" &
        sleeper=$!
        wait "$sleeper"
    done
}

# A job that Slurm has ended, by scancel or for its time limit, takes no comment any more, nor steps that fetch its logs.
update_comment() {
    local said
    said=$(timeout -k 5 60 "$scontrol" update "JobId=$SLURM_JOB_ID" "Comment=$1" </dev/null 2>&1) && return
    case $said in
        *'already finished'* | *'already completing'*) mark .ended ;;
    esac
    return 1
}

# Sets `text`: where that is too long, without the ends of messages and of the pod's own comment, then without how runs
# before the present ones ended, and at last without any record.
build_comment() {
    local most name line finished='' used=''
    if [[ -e .over ]]; then
        read -r used <.over
        finished="${used:+usage=$used;}over;"
    fi
    for most in 400 200 150 120 100 80 0 -1; do
        text="at=$local_root;"
        for name in records/*; do
            add_record "${name##*/}" "$most"
        done
        line=$comment
        cut_line "$((most < 0 ? 0 : most))"
        text+="$finished|$line"
        ((${#text} <= comment_limit)) && return
    done
    text="at=$local_root;${finished:+over;}|"
}

add_record() {
    local state number restarts last last_message head escaped unescaped
    read_record records "$1" || return
    (($2 >= 0)) || last=''
    build_record "$1" "${state[@]:0:7}"
    if (($2 < 0)); then
        line=$head
    else
        cut_line "$((${#head} > $2 ? ${#head} : $2))"
        trim_half_escape
    fi
    line=${line//'%'/%25}
    line=${line//';'/%3B}
    line=${line//'|'/%7C}
    line=${line//$'\t'/%09}
    text+="$line;"
}

# Cuts `line` to so many bytes, and not through a character.
cut_line() {
    ((${#line} > $1)) || return 0
    line=${line:0:$1}
    while [[ $line == *[$'\x80'-$'\xbf'] ]]; do
        line=${line%?}
    done
    line=${line%[$'\xc0'-$'\xff']}
}

# Of what `escape` has written, a cut may leave the first half.
trim_half_escape() {
    local backslashes=${line##*[!\\]}
    ((${#backslashes} % 2 == 0)) || line=${line%\\}
}

# --- the logs --------------------------------------------------------------------------------------------------------

# The sidecar fetches the logs by a step of this job, so that the job has to last until then. The step marks when it begins,
# since logs may be long, and when it has ended.
await_log_fetch() {
    local until waits stopped_before=''
    [[ -e .stopping ]] && stopped_before=yes
    measure_usage all
    mark .over "$usage"
    # a signal for all processes of the job has ended it
    kill -0 "$reporter" 2>/dev/null || start_reporter
    # without the last comment, only Slurm's exit code shows how the pod ended
    until=$((SECONDS + comment_timeout))
    while ((SECONDS < until)) && kill -0 "$reporter" 2>/dev/null; do
        sleep 0.2
    done
    waits=$fetch_timeout
    [[ -n $stopped_before ]] && ((waits > stopped_timeout)) && waits=$stopped_timeout
    until=$((SECONDS + waits))
    until [[ -e $local_root/fetched ]] || { ((SECONDS >= until)) && ! is_fetched_now; }; do
        [[ -z $stopped_before && -e .stopping ]] && return
        # the sidecar fetches logs only after it has read the comment, which the reporter repeats while Slurm is unreachable
        [[ ! -e .ended ]] && { [[ -e .reported ]] || kill -0 "$reporter" 2>/dev/null; } || return
        sleep 0.3
    done
}

mark() {
    with_reserve make_mark "$@"
}

make_mark() {  # FILE [LINE]
    printf '%s' "${2:+$2$'\n'}" >"$1"
} 2>/dev/null

# Its step may have been killed on the way, or its connection cut.
is_fetched_now() {
    local who=''
    read -r who 2>/dev/null <"$local_root/fetching" && kill -0 "$who" 2>/dev/null
}
