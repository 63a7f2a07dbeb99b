# shellcheck shell=sh
# shellcheck disable=SC2154 # scontrol and scancel are set in front of this text; release_job is root.sh's
# Jobs that were found waiting for their release, where nodes see no fence: the payload has a line for each, POD ID WANTED,
# where WANTED is yes or no. The claim decides, as it does right after sbatch; a job of a pod that another one has is
# cancelled, before it could start. One of a pod that nobody asks for takes no claim, and is never released: its sbatch may
# have been under way, and its answer lost, while the pod was deleted.
#   >released POD ID     now, or before
#   >cancelled POD ID    the pod is deleted, or another job has it
#   >kept POD ID         nobody asks for the pod, but its folder is there: for a sidecar that starts anew

cancel_job() {
    "$scancel" "$id" </dev/null && reply "cancelled $pod $id"
}

cancel_unwanted() {
    if [ -e ".remote-slurm/claims/$pod.deleted" ] || [ ! -d "$pod" ]; then
        cancel_job
    elif [ -L ".remote-slurm/claims/$pod.job" ] && ! owns_claim; then
        cancel_job
    else
        reply "kept $pod $id"
    fi
}

release() {
    enter_root || return
    superseded && return
    take_lines || return
    printf '%s' "$lines" | while read -r pod id wanted; do
        if [ "$wanted" = no ]; then
            cancel_unwanted
        elif release_job; then
            reply "released $pod $id"
        elif ! owns_claim; then
            cancel_job
        fi
    done
}

release
