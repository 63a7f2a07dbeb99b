# shellcheck shell=sh
# shellcheck disable=SC2154 # kept and dropped are set in front of this text
# Removes the attempts of pods that sbatch has certainly refused, so that the pods can be submitted again. The folders of
# `kept` pods stay, those of `dropped` pods are removed. If it is killed, attempts keep their failure, which is reported
# again: no attempt of unknown outcome is left.
#   >withdrawn POD   the attempt is removed
#   >short POD       the marker for a sidecar that starts later could not be written
#   >superseded      a newer sidecar owns the site, and may have made these attempts

withdraw() {
    enter_root || return
    superseded && return
    withdrawn=
    for pod in $kept; do
        # a sidecar that starts later continues with it
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
