# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # stands behind runner.sh, whose variables it uses
# The life of one container, from its first run to its last: a process of its own watches over it.

# What job.sh says of a container, it says right before it.
expect_nothing() {
    missing=()
    policy=Never rules=()
    image='' image_step=() no_image=''
    message_file='' message_policy=File
    joins='' world=()
    post_start=() pre_stop=() stop_signal=TERM
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
    run_once "$@"
    while is_restarted && await_restart; do
        may_mount || { code=1 signal=0 reason='' message="not started again: $failed"; break; }
        run_once "$@"
    done
    end_message
    blame_missing
    record "$name" terminated "$run_began" "$run_ended" "$code" "$signal" "$message"
    exit "$code"
}

end_without_image() {
    local time
    time=$(now)
    printf '%s\n' "$no_image" >".runner/$name.no-image"
    record "$name" terminated "$time" "$time" 1 0 "not started: $no_image"
    exit 1
}

# Sets run_began, run_ended, code, signal and message.
run_once() {
    signal=0 killer='' stopper='' noted='' unhealthy='' told='' reason=''
    life=.runner/$name.$restarts
    trap stop_container TERM
    keep_previous_log "$name"
    begin_message
    tell_missing
    run_began=$(now)
    born=$SECONDS
    "$@" >>"logs/$name.log" 2>&1 </dev/null &
    child=$!
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
    ((code == 137)) && end_podman "$name"
    note_size "$name"
    run_ended=$(now)
    let_next_start
    read_message
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
    was_stopped || return
    ((code == 0)) && code=143 && signal=15
    message="${message:+$message; }$(why_stopped)"
}

stop_container() {
    local asked='' time left
    interrupted=yes
    stopping=yes
    take_grace
    left=$grace
    # a sidecar, whose turn comes later, has what is left of the grace period
    read -r asked 2>/dev/null <.runner/over || read -r asked 2>/dev/null <.stopping
    printf -v time '%(%s)T' -1
    [[ -n $asked ]] && left=$((asked + grace - time))
    end_container "$left"
}

# A delete may bring a grace period of its own: see cancel.sh.
take_grace() {
    local given=''
    read -r given 2>/dev/null <"$control/claims/$pod.stop/grace"
    case $given in
        '' | *[!0-9]*) ;;
        *) grace=$given ;;
    esac
}
