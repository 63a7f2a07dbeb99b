# shellcheck shell=sh
# shellcheck disable=SC2154 # arrays is set in front of this text
# Prints the pods of the tasks of some job arrays.
#   >task ARRAY LINE   a line of its script that names a pod
#   >tables            all were read; an array that is not there has no tasks

array_tables() {
    enter_root || return
    set --
    for each in $arrays; do
        [ ! -e ".remote-slurm/arrays/$each/job.sh" ] || set -- "$@" ".remote-slurm/arrays/$each/job.sh"
    done
    # shellcheck disable=SC2016 # awk's own variables
    [ $# -eq 0 ] || awk 'FNR == 1 { split(FILENAME, path, "/") } / pod=[^ ]+ ;;$/ { print ">task " path[3] " " $0 }' "$@"
    reply tables
}

array_tables
