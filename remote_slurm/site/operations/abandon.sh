# shellcheck shell=sh
# shellcheck disable=SC2154 # pod is set in front of this text
# Takes the pod's fence after a submission of unknown outcome, so that a job that starts later runs no container.
#   >void             the fence holds no job, and no job will take it
#   >submitted ID     this job had taken the fence before
#   >superseded       a newer sidecar owns the site, and searches for the job itself

abandon() {
    enter_root || return
    superseded && return
    ln -s void ".remote-slurm/claims/$pod.job" 2>/dev/null
    holder=$(readlink ".remote-slurm/claims/$pod.job")
    if [ "$holder" = void ]; then
        reply void
    elif is_id "$holder"; then
        reply "submitted $holder"
    else
        reply "fenced ${holder:-unknown}"
    fi
}

abandon
