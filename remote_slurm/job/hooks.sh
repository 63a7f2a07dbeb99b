# shellcheck shell=bash
# What runs beside a container: its postStart, its probes, and its preStop before the signal that ends it. job.sh calls, for
# the next container:
#
#   post_start ACTION...   it does not count as running before this is over, and is ended when this fails; the containers
#                          behind it start once this is over, as on a kubelet, which starts one after another
#   pre_stop ACTION...     runs before the signal that ends the container, within the grace period
#   stop_signal NAME       the signal, if it is neither the image's STOPSIGNAL nor TERM
#
# And of the job, time_limit_notice seconds=N: Slurm signals so long before its time limit, or up to a minute earlier.
#
# An action is `exec_in_container COMMAND...`, `http_get ...` or `sleep SECONDS`. A process of its own, a watcher, carries them
# out. It reports to the container's supervisor by files named $run_prefix.* and by SIGUSR1; only the supervisor writes records.

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
    notice=${1#seconds=}
}

is_near_time_limit() {
    [[ -n ${notice-} && ${SLURM_JOB_END_TIME-} =~ ^[0-9]+$ ]] || return 1
    local time
    printf -v time '%(%s)T' -1
    ((time >= SLURM_JOB_END_TIME - notice - 90))
}

# --- beside the container --------------------------------------------------------------------------------------------

start_watchers() {
    watchers=()
    if ((${#post_start[@]} + ${#startup_probe[@]} + ${#readiness_probe[@]} == 0)); then
        mark_started
    else
        run_watcher watch_readiness &
        watchers+=("$!")
        disown "$!"
    fi
    if ((${#liveness_probe[@]})); then
        run_watcher watch_liveness &
        watchers+=("$!")
        disown "$!"
    fi
}

end_watchers() {
    ((${#watchers[@]})) && kill -TERM "${watchers[@]}" 2>/dev/null
}

# What it runs at the moment ends with it.
run_watcher() {
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

watch_readiness() {
    await_container_process
    if has_post_start && ! run_action post_start 0 "${post_start[@]}"; then
        end_container_because "the postStart hook failed${said:+: $said}"
        return
    fi
    allow_next_container
    if ((${#startup_probe[@]})); then
        await_startup || return
    fi
    mark_started
    if ((${#readiness_probe[@]})); then
        report_readiness
    else
        report ready
    fi
}

# run_action KIND SECONDS ACTION...: its exit code, and in `said` what it printed; it is killed after SECONDS, if that is not 0
run_action() {
    local kind=$1 seconds=$2 code timer action began=$SECONDS
    shift 2
    [[ $exec_mode != runtime ]] || local -x REMOTE_SLURM_ACTION=$SLURM_JOB_ID.$run_prefix.$kind
    [[ -z $late ]] || end_exec  # podman had not begun to start it when it was looked for
    late=''
    "$@" >"$run_prefix.$kind" 2>&1 </dev/null &
    action=$!
    if ((seconds)); then
        { sleep "$seconds"; kill -KILL -- "-$action"; } &
        timer=$!
    fi
    wait "$action"
    code=$?
    said=$(head -c 300 "$run_prefix.$kind" | tr -s '\n\t' ' ')
    said=${said% }
    ((code == 137 && seconds && SECONDS - began >= seconds)) && said="it took longer than $seconds s"
    kill -KILL -- "-$action" ${timer:+"-$timer"}
    ((code == 137)) && late=yes && end_exec
    return "$code"
}

# report ready, or report not_ready SENTENCE
report() {
    printf '%s\n' "$*" >"$run_prefix.news.new" && mv -f "$run_prefix.news.new" "$run_prefix.news" && kill -USR1 "$supervisor"
}

# end_container_because SENTENCE [GRACE_SECONDS]: asks the supervisor to end the container. If the container has just ended by
# itself, which makes hooks and probes fail, its runtime takes a moment to end as well, and then this process is killed.
end_container_because() {
    local until=$((SECONDS + 60))
    while container_has_ended && ((SECONDS < until)); do
        sleep 0.1
    done
    printf '%s %s\n' "${2:-$grace}" "$1" >"$run_prefix.end.new" && mv -f "$run_prefix.end.new" "$run_prefix.end" && kill -USR1 "$supervisor"
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

handle_result() {
    interrupted=yes
    pending_result=$recording
    [[ -n $is_running && -z $pending_result ]] || return
    local news grace_left
    # a container that is being stopped need not answer probes
    if [[ -z $stopping$unhealthy && -s $run_prefix.end ]]; then
        read -r grace_left unhealthy <"$run_prefix.end"
        [[ -e $run_prefix.hopeless ]] && impossible=yes
        end_container "$grace_left"
    elif [[ -s $run_prefix.news ]]; then
        read -r news <"$run_prefix.news"
        [[ $news == "$reported_state" ]] || record_state "$news"
    fi
}

record_first_state() {
    if has_post_start; then
        record_state 'not_ready its postStart hook is running'
    elif ((${#startup_probe[@]})); then
        record_state 'not_ready its startup probe has not succeeded yet'
    elif ((${#readiness_probe[@]})); then
        record_state 'not_ready its readiness probe has not succeeded yet'
    else
        record_state ready
    fi
}

# --- the end ---------------------------------------------------------------------------------------------------------

run_pre_stop() {
    local code
    close_ticks  # or the container has the pipe, too
    "${pre_stop[@]}" >"$run_prefix.pre_stop" 2>&1 </dev/null
    code=$?
    ((code)) && say "the preStop hook of container $name failed with exit code $code: $(head -c 300 "$run_prefix.pre_stop")"
    now >"$run_prefix.signalled"
    kill "-$stop_signal" "$child"
} 2>/dev/null

