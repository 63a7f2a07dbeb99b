# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # stands behind runner.sh, whose variables it uses
# Containers that run more than once. job.sh says before each container what holds for it, unless it runs once:
#
#   restart_policy Always|OnFailure      when it is started again
#   restart_rule In|NotIn EXIT_CODE...   and also after these exit codes

backoff_first=10   # seconds, as on a kubelet: at once, after 10 s, 20 s, 40 s, ... and never more than 300 s
backoff_limit=300
backoff_reset=600  # who ran so long starts over

restart_policy() {
    policy=$1
}

restart_rule() {
    rules+=("$*")
}

# --- where Slurm has requeued the job ---------------------------------------------------------------------------------

earlier_record='^v1 [^ ]+ [^ ]+ ([a-z]+) ([0-9]+) ([0-9]+) ([0-9]+) ([0-9]+)( run=[0-9]+)? record=[0-9]+'
earlier_record+=' restarts=([0-9]+)( reason=([A-Za-z]+))?( last=([0-9,]+))? (.*)$'

# Restarts are counted on, and how the last run ended is told as after a restart within the job. Until then,
# domain/records.py says the same.
recall_earlier_run() {
    local line='' ran='' said LC_ALL=C  # a message may hold any bytes
    forget_run
    IFS= read -r line 2>/dev/null <".earlier/$1"
    [[ $line =~ $earlier_record ]] || return 0
    restarts=${BASH_REMATCH[7]} last=${BASH_REMATCH[11]}
    said=${BASH_REMATCH[12]%%$'\t'*} last_message=${BASH_REMATCH[12]#*$'\t'}
    case ${BASH_REMATCH[1]}${BASH_REMATCH[9]} in
        running | waitingNotReady) ran=0,137,9 said='how it ended was not recorded' ;;
        terminated*) [[ $said == 'not started:'* ]] || ran=${BASH_REMATCH[3]},${BASH_REMATCH[4]},${BASH_REMATCH[5]} ;;
    esac
    [[ -z $ran ]] || last=${BASH_REMATCH[2]},$ran last_message=$said
    printf -v last_message %b "$last_message"
    last_message=${last_message/%"$stopped"/Slurm has requeued the job}
}

forget_run() {
    number=0 restarts=0 last='' last_message=''
}

# --- within the job ---------------------------------------------------------------------------------------------------

# Whether the run that has just ended is followed by another one. Who would be started again, and is not since the job
# was told to stop, was stopped.
is_restarted() {
    [[ -z $hopeless ]] && wants_restart || return
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

# Returns when it is time for the next run, or fails when the job is told to stop before.
await_restart() {
    local delay
    trap stop_container TERM
    next_delay
    last=$run_began,$run_ended,$code,$signal
    last_message=$message
    if ((delay > 0)); then
        reason=CrashLoopBackOff
        record "$name" waiting "$run_began" 0 0 0 "back-off ${delay}s restarting the container, whose exit code was $code"
        sleep_unless_stopped "$delay"
    fi
    [[ -z $stopping && ! -e .stopping ]] || { stopping=yes; return 1; }
    end_podman "$name"  # its name must be free again
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
