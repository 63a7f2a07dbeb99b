# shellcheck shell=sh
# shellcheck disable=SC2154 # take_lines of root.sh sets lines
# Takes the fences of some pods, whose names are the payload, one per line: a job that still starts runs nothing.
#   >closed POD       the fence holds no job, and no job will take it
#   >fences           all were tried; a pod without a reply has a job in its fence, or the fence could not be written
#   >superseded       a newer sidecar owns the site

close_fences() {
    enter_root && take_lines || return
    superseded && return
    # shellcheck disable=SC2086 # split into pods
    take_fences $lines
    reply fences
}

take_fences() {  # POD...
    for pod; do
        shift
        set -- "$@" "cancelled/$pod.job"
    done
    # one process makes all links: POD.job in claims, which leads to cancelled/POD.job and thus names no job
    [ $# -eq 0 ] || ln -s -- "$@" .remote-slurm/claims 2>/dev/null
    for pod in $lines; do
        case $(readlink ".remote-slurm/claims/$pod.job") in
            cancelled/*) reply "closed $pod" ;;
        esac
    done
}

close_fences
