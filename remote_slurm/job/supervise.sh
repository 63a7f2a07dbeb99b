# shellcheck shell=bash
# The life of one container, from its first run to its last: a process of its own watches over it.

# Runs in a process of its own, so that every container's end is seen when it happens and `wait -n` is not needed.
supervise() {
    local name=$1
    shift
    set -m  # the container becomes a process group: all of it can be signalled
    supervisor=$BASHPID
    stopping='' impossible='' is_running='' killer='' puller='' backoff=0
    trap stop_container TERM
    trap handle_result USR1
    # bash 4.2 loses a signal that comes between the fork and the trap; record_missing_end then records the end
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
    allow_next_container
    while is_restarted && await_restart; do
        recheck_mounts || { code=1 signal=0 reason=$failed_reason message="not started again: $failed"; break; }
        empty_working_dir
        run_once "$@"
    done
    end_message
    add_missing_volumes_to_message
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
    mkdir -p .runner && printf '%s\0' "$no_image_reason" "$no_image" >".runner/$name.no-image"
    record "$name" terminated 0 "$(now)" 1 0 "$no_image_reason" "not started: $no_image"
    exit 1
}

# In the job's own shell: if an init container or a sidecar has no image, the containers after it do not start either.
fail_without_image() {  # NAME
    local reason sentence
    { IFS= read -r -d '' reason && IFS= read -r -d '' sentence; } 2>/dev/null <".runner/$1.no-image" || return
    fail "$reason" "$sentence"
}

# become WORD...: replaces this process, so that signals reach the container; a function runs in it. Only these functions: a
# container's command may have the name of another one, such as `join`, which is also a program.
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
    rm -f "logs/$name.log" "$run_prefix".*
    forget_times "$name"
}

# Sets run_began, run_ended, code, signal and message, and `reason` if the runner has ended it.
run_once() {
    signal=0 killer='' stopper='' noted='' log_position=0 unhealthy='' reported_state='' reason=''
    run_prefix=.runner/$name.$restarts
    trap stop_container TERM
    keep_previous_log "$name"
    begin_message
    log_missing_volumes
    run_began=$(now)
    process_started=$SECONDS
    open_log_pipe "$name"
    # a container whose log file cannot be opened does not start
    begin "$@" >>"logs/$name.log" >&"$log_input" 2>&1 </dev/null {log_input}>&- {log_output}<&- &
    child=$!
    close_log_pipe
    write_exec_state
    watch_log "$name" &
    log_watcher=$!
    disown "$log_watcher"  # or bash writes into the job's output that it was killed
    record_first_state
    start_watchers
    is_running=yes  # a trap that starts a process would have changed $! before it was read
    [[ -n $stopping ]] && stop_container
    handle_result
    await "$child" 2>/dev/null  # bash would write into the job's output that it was killed
    is_running=''
    remove_exec_state
    # Slurm signals the processes of a job one after another: the SIGTERM for this one may still be on its way
    ((code == 143)) && sleep 0.2
    trap '' TERM
    end_watchers
    # what it left behind ends with it, as in Kubernetes, and so does what watched it
    kill -KILL -- "-$child" "-$log_watcher" ${killer:+"-$killer"} ${stopper:+"-$stopper"} 2>/dev/null
    ((code == 137)) && runtime_hook end_container "$name"
    await_log_writer
    read_noted_size "$name"
    note_size "$name"
    run_ended=$(now)
    read_message
    recognize_start_error
    # Kubernetes would take 0 for success, but the container was stopped
    ((code == 0)) && { [[ -n $unhealthy ]] || was_stopped; } && code=143
    ((code > 128 && code < 193)) && signal=$((code - 128))
    if [[ -n $unhealthy ]]; then
        reason=Unhealthy
        message=${message:+$message; }$unhealthy
    fi
}

# A container that waits for its restart is stopped as well.
end_message() {
    local why why_reason
    was_stopped || return
    ((code == 0)) && code=143 && signal=15
    why_stopped
    reason=$why_reason message="${message:+$message; }$why"
}

# --- what is recorded of its start ---------------------------------------------------------------------------------

# record_state ready, or record_state not_ready SENTENCE
record_state() {
    reported_state=$1
    if [[ $reported_state == ready ]]; then
        record "$name" running "$run_began" 0 0 0 ''
    else
        record "$name" waiting "$run_began" 0 0 0 NotReady "${reported_state#not_ready }"
    fi
}

# For what comes after a sidecar, and for this run's liveness probe: a startup probe gives time to each run. If nothing waits for
# it, the job has no such folder.
mark_started() {
    [[ -d .runner ]] || return 0
    : >"$run_prefix.started" && : >".runner/$name.started"
}

# Also where its image has yet to come, or its first run has ended: then there is nothing to wait for.
allow_next_container() {
    [[ ! -d .runner ]] || : >".runner/$name.may-follow"
}
