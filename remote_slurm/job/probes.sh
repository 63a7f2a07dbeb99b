# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # sourced after runner.sh, whose variables it uses
# Probes of the next container, carried out beside it (hooks.sh), with the fields and the order of Kubernetes:
#
#   probe startup|readiness|liveness DELAY PERIOD TIMEOUT SUCCESSES FAILURES GRACE ACTION...
#
# All but the counts are seconds; an empty GRACE is the pod's.

probe() {
    case $1 in
        startup) startup_probe=("$@") ;;
        readiness) readiness_probe=("$@") ;;
        liveness) liveness_probe=("$@") ;;
    esac
}

await_startup() {
    due=$((born + startup_probe[1]))
    verdict "${startup_probe[@]}" && return
    end_for_probe "${startup_probe[@]}"
    return 1
}

keep_readiness() {
    due=$((born + readiness_probe[1]))
    while :; do
        if verdict "${readiness_probe[@]}"; then
            report ready
        else
            is_hopeless readiness && return
            report not_ready "its readiness probe failed${said:+: $said}"
        fi
    done
}

# Only once it has started, since a startup probe is there to give it time.
see_it_alive() {
    await_world
    until [[ -e $life.started ]]; do
        pause 1
    done
    due=$((born + liveness_probe[1]))
    while verdict "${liveness_probe[@]}"; do
        :
    done
    end_for_probe "${liveness_probe[@]}"
}

# verdict KIND DELAY PERIOD TIMEOUT SUCCESSES FAILURES GRACE ACTION...: success once it has succeeded so often in a row,
# failure once it has failed so often, or can never be carried out
verdict() {
    local good=0 bad=0 code
    while :; do
        pause $((due - SECONDS))
        due=$((SECONDS + $3))
        act "$1" "$4" "${@:8}"
        code=$?
        if ((code == 0)); then
            [[ $8 == http_get ]] && tell_once "the $1 probe of container $name succeeds: $said"
            bad=0
            ((++good >= $5)) && return
        else
            good=0
            ((code == cannot)) && [[ $8 != inside ]] && : >"$life.hopeless" && return 1
            ((++bad >= $6)) && return 1
        fi
    done
}

# What a kubelet would make a warning of.
tell_once() {
    [[ -n $said && $1 != "$warned" ]] && warned=$1 && say "$1"
}

end_for_probe() {
    is_hopeless "$1" || end_for "the $1 probe failed${said:+: $said}" "$7"
}

# A probe that nothing here can carry out is no probe that failed: to start the container again would not help.
is_hopeless() {
    [[ -e $life.hopeless ]] && end_for "the $1 probe cannot be carried out: $said"
}
