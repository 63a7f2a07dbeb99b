# shellcheck shell=sh
# shellcheck disable=SC2154 # kept and dropped are set in front of this text
# After sbatch said no for certain: the attempts of some pods are undone, so that they can be submitted again. The folders
# of those that are `kept` stay, the `dropped` have none any more. Killed on the way, it leaves an attempt with its
# failure, which is told again: never one whose outcome nobody knows.
#   >withdrawn POD
#   >short POD       what a sidecar that starts anew goes by could not be written
#   >superseded      the site has a newer sidecar, whose attempts they may be by now

withdraw() {
    enter_root || return
    superseded && return
    withdrawn=
    for pod in $kept; do
        # a sidecar that starts anew goes on with it
        if true >"$pod/again" || [ ! -d "$pod" ]; then
            withdrawn="$withdrawn $pod"
        else
            reply "short $pod"
        fi
    done
    [ -z "$dropped" ] || remove_folders
    withdrawn="$withdrawn $dropped"
    remove_attempts
    for pod in $withdrawn; do
        reply "withdrawn $pod"
    done
}

remove_folders() {
    for pod in $dropped; do
        set -- "$@" "./$pod"
    done
    rm -rf -- "$@"
}

remove_attempts() {
    for pod in $withdrawn; do
        set -- "$@" ".remote-slurm/claims/$pod.attempt"
    done
    rm -f -- "$@"
}

withdraw
