#!/bin/bash
# shellcheck disable=SC2034 # what follows this file uses its variables
# Starts a pod's containers inside its Slurm job, and records what becomes of each. job.sh sources this file in the
# pod's folder and then says what to run, one call after another:
#
#   pod NAME GRACE_SECONDS          claim the pod for this job; a job that comes second ends here
#   scratch, host_path, ...         what containers need of the node: see node.sh, which follows this text
#   pre_exec, deadline, ...         what annotations bring: see annotations.sh, which follows that
#   images, podman_image, ...       images, and what runtimes need beside them: see images.sh, which comes next
#   init_container NAME COMMAND...  run to its end before anything else goes on
#   container NAME COMMAND...       start beside the others
#   finish                          wait for all; the job's exit code is the highest
#
# What holds for one container only is said right before it: see restarts.sh, messages.sh, world.sh, hooks.sh, probes.sh.
#
# Written for bash 4.2 and coreutils, which is what old compute nodes have: no `wait -n`, no flock.

umask 077
# CommandPrefix may have changed what this file relies on
set +efuC +o posix
shopt -u failglob nullglob nocasematch
IFS=$' \t\n'

failed=         # why no further container may start, in one sentence
worst=0         # the highest exit code so far
names=()        # containers that were started and may run
supervisors=()  # the process id of what supervises each of them

number=0      # of the last record of a container
restarts=0    # of a container
last=''       # how its last run ended, and what it said
last_message=''
reason=''     # the word for how it stands
recording=''  # while a record is being written
unheeded=''   # what an attendant has told meanwhile

pauses=(0.01 0.02 0.04 0.08 0.12)  # seconds between two looks at a process

apart=''      # the folder on the node, where no file system is shared: see apart.sh
control=../.remote-slurm
log_limit=1073741824  # bytes; job.sh says what the configuration says

say() {
    printf 'remote-slurm: %s\n' "$*"
}

now() {
    printf '%(%s)T' -1
}

# --- one pod, one job ------------------------------------------------------------------------------------------------

# Slurm may have accepted a submission that it reported as failed, and two sidecars may overlap. The first job to make
# the link has the pod: making a link is exclusive on every file system, unlike seeing whether it is there.
pod() {
    pod=$1
    grace=$2
    end_if_deleted
    ln -s "$SLURM_JOB_ID" "$control/claims/$pod.job" 2>/dev/null
    local owner
    owner=$(readlink "$control/claims/$pod.job")
    if [[ $owner != "$SLURM_JOB_ID" ]]; then
        say "this pod belongs to job ${owner:-"(the claim could not be written)"}; job $SLURM_JOB_ID starts nothing"
        exit 1
    fi
    # a delete that came between the two looks has seen no claim
    end_if_deleted
    mkdir -p logs records
    # recall_earlier_run looks there
    [[ -z ${SLURM_RESTART_COUNT-} ]] || { mkdir -p .earlier && mv -f records/* .earlier/; } 2>/dev/null
    rm -rf records/* .runner .stopping .evicted .job-script-ended  # of a run before Slurm requeued the job
    mkdir -p .runner
    put_aside
    began=$(now)
    attend
}

# Room for the last records and for a stop, should the pod fill its file system: bytes, and files where these are counted.
put_aside() {
    local file
    mkdir .runner/reserve
    head -c 65536 /dev/urandom >.runner/reserve/bytes
    # of each container a stop may need its .sizes, its .may-follow and its record
    for file in 1 2 3 4 5 6 7 8; do
        : >".runner/reserve/$file"
    done
    : >.runner/why
    : >.runner/jobs
}

# with_room FUNCTION WORD...: with what was put aside, where it fails without
with_room() {
    "$@" || { rm -rf .runner/reserve; "$@"; }
}

attend() {
    trap terminate TERM INT
    trap clean_up EXIT
}

end_if_deleted() {
    if [[ -e $control/claims/$pod.deleted ]]; then
        say "this pod was deleted; job $SLURM_JOB_ID starts nothing"
        exit 1
    fi
}

# --- records ---------------------------------------------------------------------------------------------------------

# record NAME waiting|running|terminated STARTED FINISHED EXIT_CODE SIGNAL [MESSAGE]; times in seconds since 1970, 0 is none.
# Where Slurm has requeued the job, run=N says how often, so that records of earlier runs can be told apart. They are
# numbered, since a reader may see them in any order. After the message, behind a tab, comes the one of the last run.
# The one in the pod's folder is kept; the one in the spool is what the next poll takes with it.
record() {
    recording=yes  # a trap in between would write a later record first, and make this one fail
    number=$((number + 1))
    with_room write_record "$@"
    recording=
    [[ -z $unheeded ]] || heed
}

write_record() {
    local message=${7-}
    if [[ ! -e .runner/reserve && $message != "not started"* ]]; then
        message="nothing more could be written where the pod's folder lies (no space, or no quota)${message:+; $message}"
    fi
    local line="v1 $pod ${*:1:6}${SLURM_RESTART_COUNT:+ run=$SLURM_RESTART_COUNT} record=$number restarts=$restarts"
    escape "$message"
    line+="${reason:+ reason=$reason}${last:+ last=$last} $escaped"
    escape "$last_message"
    line+=$'\t'$escaped
    put "$line" records "$1" && put "$line" "$control/spool" "$pod.$1"
}

# Sets `escaped`: no command substitution, since it runs in traps as well, where bash 5.2 may not be able to read one.
escape() {
    escaped=${1//\\/\\\\}
    escaped=${escaped//$'\n'/\\n}
    escaped=${escaped//$'\t'/\\t}
}

# a reader never sees half a record: it is written under a hidden name first. In a trap, `return` alone would tell how the
# command ended that came before the trap.
put() {
    { printf '%s\n' "$1" >"$2/.$3.$BASHPID" && mv -f "$2/.$3.$BASHPID" "$2/$3"; } 2>/dev/null && return 0
    rm -f "$2/.$3.$BASHPID"
    return 1
}

# --- containers ------------------------------------------------------------------------------------------------------

init_container() {
    [[ $policy == Always ]] && policy=OnFailure  # it has to succeed once
    start "$@"
    await_containers
    if ((worst != 0)) && [[ -z $failed ]]; then
        failed=$(cat ".runner/$1.no-image" 2>/dev/null || echo "init container $1 ended with exit code $worst")
    fi
}

container() {
    local hooked=''
    has_post_start && hooked=yes
    start "$@"
    [[ -z $hooked ]] || await_post_start "$1"
}

start() {
    local time
    recall_earlier_run "$1"
    [[ -n $failed ]] || make_of_image
    if [[ -n $failed ]]; then
        time=$(now)
        say "container $1 is not started: $failed"
        record "$1" terminated "$time" "$time" 1 0 "not started: $failed"
    else
        supervise "$@" &
        names+=("$1")
        supervisors+=("$!")
        # a stop that came just now has not seen it
        [[ -n $failed ]] && kill -TERM "$!" 2>/dev/null
    fi
    forget_run
    expect_nothing
}

# --- logs ------------------------------------------------------------------------------------------------------------

keep_previous_log() {
    [[ -e logs/$1.log ]] || return
    mv -f "logs/$1.log" "logs/$1.previous.log"
    mv -f "logs/.$1.sizes" "logs/.$1.previous.sizes" 2>/dev/null
}

# The log is the container's alone; how long it was at what time tells how old a line is, to a second.
watch_log() {
    trap '' TERM
    while sleep 1; do
        note_size "$1"
    done
}

note_size() {
    local log=logs/$1.log size time
    size=$(stat -c %s "$log" 2>/dev/null) && [[ $size != "$noted" ]] || return
    noted=$size
    printf -v time '%(%s)T' -1
    printf '%s %s\n' "$time" "$size" >>"logs/.$1.sizes"
    ((size > log_limit)) && cut_log "$1" "$size"
}

# The container appends to its log, so that it goes on at the beginning of what is empty.
cut_log() {
    : >"logs/.$1.sizes"
    : >"logs/$1.log"
    printf '(remote-slurm: %s bytes stood here; the log passed MaxLogSize, %s bytes, and begins anew)\n' \
        "$2" "$log_limit" >>"logs/$1.log"
}

# --- waiting ---------------------------------------------------------------------------------------------------------

# await PID: sets `code`. bash may forget the end of a process of which `wait` learns together with a signal that has a trap,
# and would then wait for it for ever (5.2: waitchld in jobs.c). Anywhere else it notes that end by itself, so that `wait` is
# asked when there is nothing to wait for any more, and asked twice, since what it says may be of a signal that came before.
await() {
    local tries=0 before=''
    while kill -0 "$1" 2>/dev/null; do
        sleep "${pauses[tries < 4 ? tries++ : 4]}"
    done
    interrupted=yes
    code=''
    while [[ -n $interrupted || $code != "$before" ]]; do
        interrupted=''
        before=$code
        wait "$1"
        code=$?
    done
}

await_containers() {
    local index
    for index in "${!supervisors[@]}"; do
        await "${supervisors[index]}"
        ((code > worst)) && worst=$code
        record_missing_end "${names[index]}"
    done
    names=()
    supervisors=()
}

# A supervisor that was killed itself, by the kernel or by a stop that came before it could listen, has recorded no end.
record_missing_end() {
    local phase='' began='' signal=0 line=''
    read -r line 2>/dev/null <"records/$1"
    read -r _ _ _ phase began _ <<<"$line"
    [[ $phase == terminated ]] && return
    [[ $line =~ \ record=([0-9]+)\ restarts=([0-9]+) ]] && number=${BASH_REMATCH[1]} restarts=${BASH_REMATCH[2]}
    ((code > 128)) && signal=$((code - 128))
    record "$1" terminated "${began:-$(now)}" "$(now)" "$code" "$signal" "${failed:-what watched it was killed}"
    forget_run
}

terminate() {
    interrupted=yes
    local running
    # shellcheck disable=SC2154 # of node.sh
    failed=$stopped
    with_room note_stop && read -r failed <.runner/why
    if with_room note_jobs; then
        while read -r running; do
            pass_stop "$running"
        done <.runner/jobs
    else
        for running in "${supervisors[@]}"; do
            pass_stop "$running"
        done
    fi
}

note_stop() {
    printf '%(%s)T\n' -1 >.stopping && why_stopped >.runner/why
} 2>/dev/null

# Not those that ended: their process ids may be somebody else's by now. `jobs` does not tell that it could not write.
note_jobs() {
    { jobs -rp; printf '\n'; } >.runner/jobs
} 2>/dev/null

pass_stop() {
    [[ -z $1 ]] || is_sidecar "$1" || kill -TERM "$1" 2>/dev/null
}

finish() {
    await_containers
    end_sidecars
    [[ -n $failed ]] && ((worst == 0)) && worst=1
    [[ -z $apart ]] || hand_over
    exit "$worst"
}
