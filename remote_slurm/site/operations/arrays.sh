# shellcheck shell=sh
# Tasks of job arrays, for the scripts of this folder that read squeue. The batch script of a task is
# .remote-slurm/arrays/NAME/job.sh, which has a line `3) pod=POD ;;` for each task: see domain/plan/job_array.py.

# Changes rows of squeue, `ID|...|COMMAND`, so that each task has a row of its own, with the script in the folder of its pod as
# its command. Tasks that wait have one row before, `42_[1-3,7%2]|...`. A task of an unknown pod keeps the command: its script may
# be a copy. A row of more than 1,000 tasks, which is not ours, and a list of another form stay as they are: job_ids.py reads alike.
rows_of_tasks() {  # ROWS
    case $1 in
        */.remote-slurm/arrays/*/job.sh* | *_[[]*) ;;
        *) printf '%s\n' "$1" && return ;;
    esac
    rows=$1
    set -- .remote-slurm/arrays/*/job.sh
    [ -e "$1" ] || set --
    # shellcheck disable=SC2016 # awk's own variables
    printf '%s\n' "$rows" | awk '
        function row(id, number) {
            print id "_" number middle ((name, number) in pods ? "/" pods[name, number] "/job.sh" : script)
        }
        table {
            if (FNR == 1) split(FILENAME, path, "/")
            if ($0 ~ /^ *[0-9]+[)] pod=[^ ]+ ;;$/) {
                number = $1
                pod = $2
                sub(/[)]$/, "", number)
                sub(/^pod=/, "", pod)
                pods[path[3], number] = pod
            }
            next
        }
        ! match($0, /^[0-9]+_[^|]+[|]/) { print; next }
        {
            id = substr($0, 1, RLENGTH - 1)
            middle = substr($0, RLENGTH)
            name = script = ""
            if (match(middle, /\/[.]remote-slurm\/arrays\/[^\/]+\/job[.]sh$/)) {
                script = substr(middle, RSTART)
                middle = substr(middle, 1, RSTART - 1)
                split(script, path, "/")
                name = path[4]
            }
            tasks = id
            sub(/_.*/, "", id)
            sub(/^[0-9]+_/, "", tasks)
            if (tasks ~ /^[[][0-9,:-]+(%[0-9]+)?[]]$/) gsub(/[][]|%.*/, "", tasks)
            count = split(tasks, ranges, ",")
            size = 0
            for (i = 1; i <= count && size <= 1000; i++) {
                if (ranges[i] !~ /^[0-9]+(-[0-9]+(:0*[1-9][0-9]*)?)?$/) size = 1001
                parts = split(ranges[i], range, /[-:]/)
                first[i] = range[1] + 0
                last[i] = range[parts > 1 ? 2 : 1] + 0
                step[i] = parts > 2 ? range[3] + 0 : 1
                if (last[i] >= first[i] && size <= 1000) size += int((last[i] - first[i]) / step[i]) + 1
            }
            if (size > 1000) { print; next }
            for (i = 1; i <= count; i++)
                for (number = first[i]; number <= last[i]; number += step[i]) row(id, number)
        }
    ' table=yes "$@" table= -
}
