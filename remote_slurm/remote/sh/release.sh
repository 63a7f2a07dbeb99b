# shellcheck shell=sh
# shellcheck disable=SC2154 # scontrol and scancel are set in front of this text; release_job is root.sh's
# Jobs that were found waiting for their release, where nodes see no fence: the payload has a line for each, POD ID. The
# claim decides, as it does right after sbatch; a job of a pod that another one has is cancelled, before it could start.
#   >released POD ID     now, or before
#   >cancelled POD ID    the pod is deleted, or another job has it

release() {
    enter_root || return
    superseded && return
    take_lines || return
    printf '%s' "$lines" | while read -r pod id; do
        if release_job; then
            reply "released $pod $id"
        elif ! owns_claim; then
            "$scancel" "$id" </dev/null && reply "cancelled $pod $id"
        fi
    done
}

release
