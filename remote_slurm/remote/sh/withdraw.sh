# shellcheck shell=sh
# shellcheck disable=SC2154 # pod and keep_folder are set in front of this text
# After sbatch said no for certain: the attempt is undone, so that the pod can be submitted again.
#   >withdrawn

withdraw() {
    enter_root || return
    if [ -n "$keep_folder" ]; then
        rm -f "$pod/sbatch.failed"
        true >"$pod/again"  # a sidecar that starts anew goes on with it
    else
        rm -rf -- "./$pod"
    fi
    rm -f ".remote-slurm/claims/$pod.attempt"
    reply withdrawn
}

withdraw
