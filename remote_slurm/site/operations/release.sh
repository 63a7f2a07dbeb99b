# shellcheck shell=sh
# shellcheck disable=SC2154 # scontrol and scancel are set in front of this text; release_job is root.sh's
# Jobs that were found waiting for their release, where nodes see no fence: the payload has a line for each, POD ID WANTED,
# where WANTED is yes, no or never. The claim decides, as it does right after sbatch; a job of a pod that another one has is
# cancelled, before it could start. One of a pod that nobody asks for takes no claim, and is not released: its sbatch may
# have been under way, and its answer lost, while the pod was deleted; or another sidecar is about to release it. A
# tombstone and a claim tell. That the pod has no folder may only mean that it has just come, and that this login node
# does not see it yet, so that it counts only where the pod was never asked for in all the time that a file system can
# be late.
#   >released POD ID     now, or before
#   >cancelled POD ID    the pod is deleted, or another job has it
#   >unreleased ID       it could not be, as the messages say: ask again
#   >kept POD ID         nobody asks for the pod, and nothing tells that it is gone

cancel_job() {
    "$scancel" "$id" </dev/null && reply "cancelled $pod $id"
}

cancel_unwanted() {
    if [ -e ".remote-slurm/claims/$pod.deleted" ] || is_claimed_by_another; then
        cancel_job
    elif [ "$wanted" = never ] && [ ! -d "$pod" ]; then
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
        if [ "$wanted" != yes ]; then
            cancel_unwanted
        elif release_job; then
            reply "released $pod $id"
        elif is_claimed_by_another; then
            cancel_job
        else
            reply "unreleased $id"
        fi
    done
}

release
