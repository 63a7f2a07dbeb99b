# shellcheck shell=bash
# How containers are stopped, and why: by Slurm, by a delete, by the runner itself.

# The code JobStopped decides; but a sidecar of the version before compares this sentence with the end of a message
stopped='the job was told to stop'

was_stopped() {
    [[ -n $stopping && ! -e .runner/over ]]
}

# evict REASON SENTENCE: stop the job as a signal from outside would, with this reason in the records
evict() {
    say "$2"
    with_reserve note_eviction "$@"
    kill -TERM "$$"
}

note_eviction() {
    printf '%s %s\n' "$@" >.evicted
} 2>/dev/null

# Sets `why_reason` and `why`: no command substitution, since it runs in traps.
why_stopped() {
    why_reason=JobStopped why=$stopped
    if [[ -s .evicted ]]; then
        read -r why_reason why <.evicted
    elif is_past_deadline; then
        exceed_deadline
    elif is_near_time_limit; then
        why_reason=TimeLimit why='the job was about to reach its time limit'
    fi
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

# A delete may bring a grace period of its own: see delete.sh.
take_grace() {
    local given=''
    read -r given 2>/dev/null <"$control/claims/$pod.stop/grace"
    case $given in
        '' | *[!0-9]*) ;;
        *) grace=$given ;;
    esac
}

# end_container GRACE_SECONDS, of which there are two at least, as on a kubelet. The signal goes to its first process only, as
# in Kubernetes; Apptainer passes it on, so all of the group would get it twice.
end_container() {
    [[ -n $is_running && -z $killer ]] || return
    stopper=
    if ((${#pre_stop[@]})); then
        run_pre_stop &
        stopper=$!
        disown "$stopper"
    else
        kill "-$stop_signal" "$child" 2>/dev/null
    fi
    kill_later "$(($1 < 2 ? 2 : $1))" &
    killer=$!
    disown "$killer"
}

# Slurm may signal every process of the job: this one must outlast it. A hook that takes its time costs its container
# all but two seconds, as on a kubelet.
kill_later() {
    local signalled=0
    close_ticks
    trap '' TERM
    sleep "$1"
    if [[ -n $stopper ]] && kill -0 "$stopper"; then
        kill -KILL -- "-$stopper"
        kill "-$stop_signal" "$child"
        sleep 2
    elif [[ -n $stopper ]]; then
        read -r signalled <"$run_prefix.signalled"
        (($(now) - signalled < 2)) && sleep 2
    fi
    kill -KILL -- "-$child"
} 2>/dev/null
