# shellcheck shell=sh
# shellcheck disable=SC2154 # pod is set in front of this text
# Prints what the folder of one pod has for people.
#   >spec JSON              the description in the head of job.sh; versions before 0.2 write none
#   >submitted SECONDS      when sbatch was called, or returned the id of the job, by the site's clock
#   >file SIZE PATH         each log, and what Slurm and the runner printed; PATH begins at the folder
#   >described SECONDS      the end, and the site's clock
#   >nofolder               the pod has no folder

files() {
    set -- job-*.out logs/*
    for file; do
        # shellcheck disable=SC2012 # only ls prints the size on every system, without reading the file
        [ -f "$file" ] && ls -ln "$file" | { read -r _ _ _ _ size _ && reply "file $size $file"; }
    done
}

describe() {
    enter_root || return
    if ! cd "$pod"; then
        reply nofolder
        return
    fi
    # shellcheck disable=SC2016 # awk's own variables
    [ ! -f job.sh ] || awk '! /^(#|$)/ { exit } sub(/^# Spec: /, "") { print ">spec", $0 }' job.sh
    # shellcheck disable=SC2154 # set by root.sh
    called=job.id
    [ -f job.id ] || [ ! -L "../.remote-slurm/claims/$pod.job" ] || called=../.remote-slurm/claims/$pod.attempt  # the job has begun
    [ ! -f "$called" ] || sh -c "$file_times" sh "$called" | sed 's|^.* |>submitted |'
    files
    reply "described $(date +%s)"
}

describe 2>/dev/null
