# shellcheck shell=bash
# Probes of the next container, carried out beside it (hooks.sh), with the fields and the order of Kubernetes:
#
#   probe startup|readiness|liveness delay=N period=N timeout=N successes=N failures=N grace=N ACTION...
#
# All but the counts are seconds; an empty grace is the pod's.

probe() {
    local fields=("${@:2:6}")
    set -- "$1" "${fields[@]#*=}" "${@:8}"
    case $1 in
        startup) startup_probe=("$@") ;;
        readiness) readiness_probe=("$@") ;;
        liveness) liveness_probe=("$@") ;;
    esac
}

await_startup() {
    due=$((process_started + startup_probe[1]))
    probe_until_decided "${startup_probe[@]}" && return
    end_for_failed_probe "${startup_probe[@]}"
    return 1
}

report_readiness() {
    due=$((process_started + readiness_probe[1]))
    while :; do
        if probe_until_decided "${readiness_probe[@]}"; then
            report ready
        else
            ends_as_impossible readiness && return
            report not_ready "its readiness probe failed${said:+: $said}"
        fi
    done
}

# Only once it has started, since a startup probe is there to give it time.
watch_liveness() {
    await_container_process
    until [[ -e $run_prefix.started ]]; do
        pause 1
    done
    due=$((process_started + liveness_probe[1]))
    while probe_until_decided "${liveness_probe[@]}"; do
        :
    done
    end_for_failed_probe "${liveness_probe[@]}"
}

# probe_until_decided KIND DELAY PERIOD TIMEOUT SUCCESSES FAILURES GRACE ACTION...: success once it has succeeded so often in a row,
# failure once it has failed so often, or can never be carried out
probe_until_decided() {
    local good=0 bad=0 code
    while :; do
        pause $((due - SECONDS))
        due=$((SECONDS + $3))
        run_action "$1" "$4" "${@:8}"
        code=$?
        if ((code == 0)); then
            [[ $8 == http_get ]] && log_once "the $1 probe of container $name succeeds: $said"
            bad=0
            ((++good >= $5)) && return
        else
            good=0
            ((code == cannot)) && [[ $8 != exec_in_container ]] && : >"$run_prefix.hopeless" && return 1
            ((++bad >= $6)) && return 1
        fi
    done
}

# What a kubelet would make a warning of.
log_once() {
    [[ -n $said && $1 != "$warned" ]] && warned=$1 && say "$1"
}

end_for_failed_probe() {
    ends_as_impossible "$1" || end_container_because "the $1 probe failed${said:+: $said}" "$7"
}

# A probe that nothing here can carry out is no probe that failed: to start the container again would not help.
ends_as_impossible() {
    [[ -e $run_prefix.hopeless ]] && end_container_because "the $1 probe cannot be carried out: $said"
}
