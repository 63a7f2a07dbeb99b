# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # part of runner.sh, whose variables it uses
# The life of one container, from its first run to its last: a process of its own watches over it.

# What job.sh says of a container, it says right before it.
expect_nothing() {
    missing=()
    policy=Never rules=()
    image='' image_step=() no_image='' no_image_reason=''
    message_file='' message_policy=File
    joins='' world=()
    work_in_image='' working_dir_mount='' image_config=() program_from='' image_program=() has_odd=''
    post_start=() pre_stop=() stop_signal=''
    startup_probe=() readiness_probe=() liveness_probe=()
}

expect_nothing

# lacks SENTENCE: a volume that the next container does without
lacks() {
    missing+=("$1")
}

# Who reads the log of a container learns what it does without, and so does who asks why it failed.
tell_missing() {
    ((${#missing[@]})) && printf '(remote-slurm: %s)\n' "${missing[@]}" >>"logs/$name.log"
}

blame_missing() {
    local sentence
    ((code != 0)) || return
    for sentence in "${missing[@]}"; do
        message=$sentence${message:+; $message}
    done
}

# Runs in a process of its own, so that every container's end is seen when it happens and `wait -n` is not needed.
supervise() {
    local name=$1
    shift
    set -m  # the container becomes a process group: all of it can be signalled
    supervisor=$BASHPID
    stopping='' hopeless='' under_way='' killer='' puller='' backoff=0
    trap stop_container TERM
    trap heed USR1
    # bash 4.2 loses a signal that comes between the fork and the trap; who waits for this one records its end
    [[ -e .stopping ]] && exit 143
    await_image
    [[ -z $no_image ]] || end_without_image
    apply_image_config
    stop_signal=${stop_signal:-TERM}
    run_once "$@"
    if [[ -z $stopping && ! -e .stopping ]] && lacks_working_dir; then
        forget_attempt
        run_once "$@"
    fi
    let_next_start
    while is_restarted && await_restart; do
        may_mount || { code=1 signal=0 reason=$failed_reason message="not started again: $failed"; break; }
        empty_working_dir
        run_once "$@"
    done
    end_message
    blame_missing
    record "$name" terminated "$run_began" "$run_ended" "$code" "$signal" "${reason:-$(own_reason)}" "$message"
    exit "$code"
}

# Of an end that the runner has not decided. Who sent SIGKILL, Slurm knows: then it is empty.
own_reason() {
    case "$code $signal" in
        *' 9') ;;
        '0 '*) echo Completed ;;
        *) echo Error ;;
    esac
}

end_without_image() {
    printf '%s\0' "$no_image_reason" "$no_image" >".runner/$name.no-image"
    record "$name" terminated 0 "$(now)" 1 0 "$no_image_reason" "not started: $no_image"
    exit 1
}

# In the job's own shell: the image of an init container, or of a sidecar, is missing to those that come after it as well.
fail_without_image() {  # NAME
    local reason sentence
    { IFS= read -r -d '' reason && IFS= read -r -d '' sentence; } 2>/dev/null <".runner/$1.no-image" || return
    fail "$reason" "$sentence"
}

# In the place of this process, so that what is meant for the container reaches it; functions stay in it. A container's
# command is none of ours, whatever its name: `join` is a program as well.
become() {
    case $1 in
        on_node | prefixed | in_pod_ipc) "$@" ;;
        *) exec -- "$@" ;;
    esac
}

# begin WORD...: becomes the container. Container runtimes set umask 0022, and Apptainer, Enroot and commands on the node
# inherit it. The log file is opened before, with the runner's own umask.
begin() {
    umask 022
    local words=("$@")
    runtime_hook adjust_command "$@"
    set -- "${words[@]}"
    if declare -F -- "$1" >/dev/null; then
        "$@"
    else
        exec -- "$@"
    fi
}

# Of a run that only showed what the runtime cannot do.
forget_attempt() {
    rm -f "logs/$name.log" "logs/.$name.sizes" "$life".*
}

# Sets run_began, run_ended, code, signal and message, and `reason` if the runner has ended it.
run_once() {
    signal=0 killer='' stopper='' noted='' unhealthy='' told='' reason=''
    life=.runner/$name.$restarts
    trap stop_container TERM
    keep_previous_log "$name"
    begin_message
    tell_missing
    run_began=$(now)
    born=$SECONDS
    open_log_pipe "$name"
    # a container whose log file cannot be opened does not start
    begin "$@" >>"logs/$name.log" >&"$log_input" 2>&1 </dev/null {log_input}>&- {log_output}<&- &
    child=$!
    close_log_pipe
    watch_log "$name" &
    watcher=$!
    disown "$watcher"  # or bash writes into the job's output that it was killed
    tell_begun
    begin_attendants
    under_way=yes  # a trap that starts a process would have changed $! before it was read
    [[ -n $stopping ]] && stop_container
    heed
    await "$child" 2>/dev/null  # bash would write into the job's output that it was killed
    under_way=''
    # Slurm signals the processes of a job one after another: the SIGTERM for this one may still be on its way
    ((code == 143)) && sleep 0.2
    trap '' TERM
    end_attendants
    # what it left behind ends with it, as in Kubernetes, and so does what watched it
    kill -KILL -- "-$child" "-$watcher" ${killer:+"-$killer"} ${stopper:+"-$stopper"} 2>/dev/null
    ((code == 137)) && runtime_hook end_container "$name"
    await_log_writer
    note_size "$name"
    run_ended=$(now)
    read_message
    recognize_start_error
    # Kubernetes would take 0 for success, and it was told to stop
    ((code == 0)) && { [[ -n $unhealthy ]] || was_stopped; } && code=143
    ((code > 128 && code < 193)) && signal=$((code - 128))
    if [[ -n $unhealthy ]]; then
        reason=Unhealthy
        message=${message:+$message; }$unhealthy
    fi
}

# Who waits to be started again is told to stop as well.
end_message() {
    local why why_reason
    was_stopped || return
    ((code == 0)) && code=143 && signal=15
    why_stopped
    reason=$why_reason message="${message:+$message; }$why"
}

# --- what is recorded of its start ---------------------------------------------------------------------------------

# tell_state ready, or tell_state not_ready SENTENCE
tell_state() {
    told=$1
    if [[ $told == ready ]]; then
        record "$name" running "$run_began" 0 0 0 ''
    else
        record "$name" waiting "$run_began" 0 0 0 NotReady "${told#not_ready }"
    fi
}

# For what comes after a sidecar, and for this run's liveness probe: a startup probe gives time to each run.
mark_started() {
    : >"$life.started" && : >".runner/$name.started"
}

# Also where its image has yet to come, or its first run has ended: then there is nothing to wait for.
let_next_start() {
    : >".runner/$name.may-follow"
}

# --- what it mounts ------------------------------------------------------------------------------------------------

guarded=()  # what was checked before containers mounted it, one call each
guarding=yes

guard() {
    [[ -z $guarding ]] || guarded+=("$(printf '%q ' "$@")")
}

# Before something is mounted once more, for a restart or a probe: a container may have put a link there meanwhile.
may_mount() {
    local guarding='' each
    for each in "${guarded[@]}"; do
        eval "$each"
    done
    [[ -z $failed ]]
}
