# shellcheck shell=sh
# shellcheck disable=SC2154 # pod is set in front of this text
# A submission whose outcome nobody could find out: the pod's claim is taken, so that a job that still comes starts
# nothing.
#   >void             no job has the pod, and none ever will
#   >submitted ID     a job had it first
#   >superseded       the site has a newer sidecar, which looks for the job itself

void() {
    enter_root || return
    superseded && return
    ln -s void ".remote-slurm/claims/$pod.job" 2>/dev/null
    owner=$(readlink ".remote-slurm/claims/$pod.job")
    case $owner in
        void) reply void ;;
        "" | *[!0-9]*) reply "claimed by ${owner:-nobody}" ;;
        *) reply "submitted $owner" ;;
    esac
}

void
