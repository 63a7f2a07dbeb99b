# shellcheck shell=sh
# shellcheck disable=SC2154 # pod and keep_folder are set in front of this text
# After sbatch said no for certain: the attempt is undone, so that the pod can be submitted again. Killed on the way, it
# leaves the attempt with its failure, which is told again: never one whose outcome nobody knows.
#   >withdrawn
#   >superseded      the site has a newer sidecar, whose attempt it may be by now

withdraw() {
    enter_root || return
    superseded && return
    [ -z "$keep_folder" ] || true >"$pod/again"  # a sidecar that starts anew goes on with it
    [ -n "$keep_folder" ] || rm -rf -- "./$pod"
    rm -f ".remote-slurm/claims/$pod.attempt"
    reply withdrawn
}

withdraw
