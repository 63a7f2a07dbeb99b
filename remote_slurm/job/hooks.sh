# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # sourced after runner.sh, whose variables it uses
# What runs beside a container: its postStart, its probes, and its preStop before it is told to end. job.sh says for the
# next container:
#
#   post_start ACTION...   it does not count as running before this is over, and is ended when this fails; the containers
#                          behind it start once this is over, as on a kubelet, which starts one after another
#   pre_stop ACTION...     comes before the signal that tells it to end, within the grace period
#   stop_signal NAME       the signal, if it is neither the image's STOPSIGNAL nor TERM
#
# And of the job, time_limit_notice SECONDS: Slurm signals so long before its time limit, or up to a minute earlier.
#
# An action is `inside COMMAND...`, `http_get ...` or `sleep SECONDS`. A process of its own carries them out and tells the
# container's supervisor by files named $life.*, and by SIGUSR1; only the supervisor writes records.

post_start() {
    post_start=("$@")
}

pre_stop() {
    pre_stop=("$@")
}

stop_signal() {
    stop_signal=$1
}

time_limit_notice() {
    notice=$1
}

is_near_time_limit() {
    [[ -n ${notice-} && ${SLURM_JOB_END_TIME-} =~ ^[0-9]+$ ]] || return 1
    local time
    printf -v time '%(%s)T' -1
    ((time >= SLURM_JOB_END_TIME - notice - 90))
}

# --- beside the container --------------------------------------------------------------------------------------------

begin_attendants() {
    attendants=()
    if ((${#post_start[@]} + ${#startup_probe[@]} + ${#readiness_probe[@]} == 0)); then
        mark_started
    else
        attendant see_it_ready &
        attendants+=("$!")
        disown "$!"
    fi
    if ((${#liveness_probe[@]})); then
        attendant see_it_alive &
        attendants+=("$!")
        disown "$!"
    fi
}

end_attendants() {
    ((${#attendants[@]})) && kill -TERM "${attendants[@]}" 2>/dev/null
}

# What it runs at the moment ends with it.
attendant() {
    local warned='' late=''
    set -m
    exec 2>/dev/null
    trap 'kill_jobs; exit' TERM
    "$@"
}

kill_jobs() {
    local job
    for job in $(jobs -p); do
        kill -KILL -- "-$job"
    done
}

see_it_ready() {
    await_world
    if has_post_start && ! act post_start 0 "${post_start[@]}"; then
        end_for "the postStart hook failed${said:+: $said}"
        return
    fi
    let_next_start
    if ((${#startup_probe[@]})); then
        await_startup || return
    fi
    mark_started
    if ((${#readiness_probe[@]})); then
        keep_readiness
    else
        report ready
    fi
}

# act KIND SECONDS ACTION...: its exit code, and in `said` what it printed; it is killed after SECONDS, if that is not 0
act() {
    local kind=$1 seconds=$2 code timer action began=$SECONDS
    shift 2
    [[ $joins != entered ]] || local -x REMOTE_SLURM_ACTION=$SLURM_JOB_ID.$life.$kind
    [[ -z $late ]] || end_entered  # podman had not begun to start it when it was looked for
    late=''
    "$@" >"$life.$kind" 2>&1 </dev/null &
    action=$!
    if ((seconds)); then
        { sleep "$seconds"; kill -KILL -- "-$action"; } &
        timer=$!
    fi
    wait "$action"
    code=$?
    said=$(head -c 300 "$life.$kind" | tr -s '\n\t' ' ')
    said=${said% }
    ((code == 137 && seconds && SECONDS - began >= seconds)) && said="it took longer than $seconds s"
    kill -KILL -- "-$action" ${timer:+"-$timer"}
    ((code == 137)) && late=yes && end_entered
    return "$code"
}

# report ready, or report not_ready SENTENCE
report() {
    printf '%s\n' "$*" >"$life.news.new" && mv -f "$life.news.new" "$life.news" && kill -USR1 "$supervisor"
}

# end_for SENTENCE [GRACE_SECONDS]: the container is to be ended, for a reason that only an attendant knows. What fails since
# the container has just ended by itself is none: its runtime takes a moment to tell that end, which ends this.
end_for() {
    local until=$((SECONDS + 60))
    while has_ended && ((SECONDS < until)); do
        sleep 0.1
    done
    printf '%s %s\n' "${2:-$grace}" "$1" >"$life.end.new" && mv -f "$life.end.new" "$life.end" && kill -USR1 "$supervisor"
}

# --- in the job's own shell -------------------------------------------------------------------------------------------

has_post_start() {
    ((${#post_start[@]}))
}

await_post_start() {
    until [[ -e .runner/$1.may-follow || -n $failed ]] || ! kill -0 "${supervisors[${#supervisors[@]} - 1]}" 2>/dev/null; do
        sleep 0.1
    done
}

# --- in the supervisor -----------------------------------------------------------------------------------------------

heed() {
    interrupted=yes
    unheeded=$recording
    [[ -n $under_way && -z $unheeded ]] || return
    local news grace_left
    # who is told to stop anyway may well answer no probe any more
    if [[ -z $stopping$unhealthy && -s $life.end ]]; then
        read -r grace_left unhealthy <"$life.end"
        [[ -e $life.hopeless ]] && hopeless=yes
        end_container "$grace_left"
    elif [[ -s $life.news ]]; then
        read -r news <"$life.news"
        [[ $news == "$told" ]] || tell_state "$news"
    fi
}

tell_begun() {
    if has_post_start; then
        tell_state 'not_ready its postStart hook is running'
    elif ((${#startup_probe[@]})); then
        tell_state 'not_ready its startup probe has not succeeded yet'
    elif ((${#readiness_probe[@]})); then
        tell_state 'not_ready its readiness probe has not succeeded yet'
    else
        tell_state ready
    fi
}

# --- the end ---------------------------------------------------------------------------------------------------------

end_politely() {
    local code
    "${pre_stop[@]}" >"$life.pre_stop" 2>&1 </dev/null
    code=$?
    ((code)) && say "the preStop hook of container $name failed with exit code $code: $(head -c 300 "$life.pre_stop")"
    now >"$life.told"
    kill "-$stop_signal" "$child"
} 2>/dev/null

