# shellcheck shell=bash
# Containers that run more than once. job.sh calls, before each container that may run again:
#
#   restart_policy Always|OnFailure      when it is started again
#   restart_rule In|NotIn EXIT_CODE...   and also after these exit codes

backoff_first=10   # seconds, as on a kubelet: at once, after 10 s, 20 s, 40 s, ... and never more than 300 s
backoff_limit=300
backoff_reset=600  # seconds; a longer run resets the delay

restart_policy() {
    policy=$1
}

restart_rule() {
    rules+=("$*")
}

# Whether another run follows the one that has just ended. A container that is not restarted only because the job is being
# stopped counts as stopped.
is_restarted() {
    [[ -z $impossible ]] && wants_restart || return
    [[ ! -e .stopping ]] || stopping=yes
    [[ -z $stopping ]]
}

wants_restart() {
    matches_rule && return
    case $policy in
        Always) return 0 ;;
        OnFailure) ((code != 0)) ;;
        *) return 1 ;;
    esac
}

matches_rule() {
    local rule operator codes
    for rule in "${rules[@]}"; do
        read -r operator codes <<<"$rule"
        case "$operator $(has_word "$code" "$codes")" in
            'In yes' | 'NotIn no') return 0 ;;
        esac
    done
    return 1
}

has_word() {
    [[ " $2 " == *" $1 "* ]] && echo yes || echo no
}

# Returns when it is time for the next run. Fails if the job is stopped before.
await_restart() {
    local delay
    trap stop_container TERM
    next_delay
    last=$run_began,$run_ended,$code,$signal
    last_message=$message
    if ((delay > 0)); then
        record "$name" waiting "$run_began" 0 0 0 CrashLoopBackOff "back-off ${delay}s restarting the container, whose exit code was $code"
        sleep_unless_stopped "$delay"
    fi
    [[ -z $stopping && ! -e .stopping ]] || { stopping=yes; return 1; }
    runtime_hook end_container "$name"  # its name must be free again
    empty_scratch "$name"
    restarts=$((restarts + 1))
}

# What a container wrote into no volume does not outlive it, as on a kubelet.
empty_scratch() {
    [[ -d scratch/$1 ]] || return
    rm -rf "scratch/$1" 2>/dev/null || { chmod -R u+rwX "scratch/$1"; rm -rf "scratch/$1"; }
    mkdir "scratch/$1"
}

next_delay() {
    ((run_ended - run_began >= backoff_reset)) && backoff=0
    delay=$backoff
    backoff=$((backoff ? backoff * 2 : backoff_first))
    ((backoff > backoff_limit)) && backoff=$backoff_limit
}

sleep_unless_stopped() {
    local until=$((SECONDS + $1)) sleeper
    while ((SECONDS < until)) && [[ -z $stopping && ! -e .stopping ]]; do
        sleep $((until - SECONDS)) &
        sleeper=$!
        wait "$sleeper"
        kill -KILL -- "-$sleeper" 2>/dev/null
        disown "$sleeper" 2>/dev/null
    done
}
