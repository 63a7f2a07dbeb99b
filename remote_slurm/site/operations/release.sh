# shellcheck shell=sh
# shellcheck disable=SC2154 # scontrol and scancel are set in front of this text; release_job is root.sh's
# Releases held jobs (nodes do not see the fence). The payload has a line for each job: POD ID WANTED, where WANTED is yes,
# no or never. The job in the fence is released. If another job is in the fence, this job is cancelled before it starts.
# A job of an unwanted pod neither takes the fence nor is released: its sbatch reply may have been lost while the pod was
# deleted, or another sidecar is about to release it. It is cancelled if the pod has a tombstone, or another job is in
# the fence. A missing folder may only be one that this login node does not see yet; it counts if WANTED is never, which
# means that the pod was not wanted for as long as a file system can be late.
#   >released POD ID     released, now or before
#   >cancelled POD ID    the pod is deleted, or another job is in its fence
#   >unreleased ID       the release failed, as the messages say: ask again
#   >kept POD ID         the pod is not wanted, but it may exist

cancel_job() {
    "$scancel" "$id" </dev/null && reply "cancelled $pod $id"
}

cancel_unwanted() {
    if [ -e ".remote-slurm/claims/$pod.deleted" ] || is_fenced_by_another; then
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
        elif is_fenced_by_another; then
            cancel_job
        else
            reply "unreleased $id"
        fi
    done
}

release
