# shellcheck shell=sh
# shellcheck disable=SC2154 # file_times and first_lines are root.sh's
# Lists the pods that have a folder. Names are in each job.sh as script.py writes it, and in containers.sh if the pod's own
# shell comes before the containers.
#   >name POD NAME          NAMESPACE/NAME
#   >labels POD JSON        its labels, if it has any: a comment in the head of job.sh
#   >grace POD SECONDS      its grace period
#   >init POD NAME          its init containers, in the order of its spec
#   >container POD NAME     its containers, in the same order
#   >id POD ID              the id of its job
#   >submitted POD SECONDS  when sbatch was called; then, if the job has not begun, when sbatch returned the id
#   >listed SECONDS         the end of the list, and the site's clock; the records of all containers come first

# The runner's calls follow the one that names the pod. Words of a pod are between quotes and may have several lines, which
# may look like a call.
list_containers() {
    # shellcheck disable=SC2016 # awk's own variables
    find . -mindepth 2 -maxdepth 2 \( -name job.sh -o -name containers.sh \) -exec env LC_ALL=C awk '
        FNR == 1 { split(FILENAME, path, "/"); in_head = 1; in_calls = 0; quote = "" }
        ! /^(#|$)/ { in_head = 0 }
        FNR == 2 && path[3] == "job.sh" { print ">name", path[2], $3 }
        in_head && sub(/^# Labels: /, "") { print ">labels", path[2], $0 }
        ! in_calls {
            if (/^(pod|resume) [^ ]+ (grace=)?[0-9]+$/) {
                in_calls = 1
                sub(/.*[ =]/, "")
                print ">grace", path[2], $0
            }
            next
        }
        quote == "" && /^(init|sidecar)_container [A-Za-z0-9.-]+ \\$/ { print ">init", path[2], $2 }
        quote == "" && /^container [A-Za-z0-9.-]+ \\$/ { print ">container", path[2], $2 }
        /[\047"]/ {
            count = split($0, parts, /[\047"]/)
            at = 0
            for (i = 1; i < count; i++) {
                at += length(parts[i]) + 1
                sign = substr($0, at, 1)
                if (quote == "") quote = sign
                else if (quote == sign) quote = ""
            }
        }
    ' {} +
}

# The id is in the fence once the job has begun, and job.id then goes.
list_jobs() {
    find .remote-slurm/claims -maxdepth 1 -name '*.attempt' -exec sh -c "$file_times" sh {} + |
        sed 's|^.*/\([^/]*\)\.attempt |>submitted \1 |'
    find .remote-slurm/claims -maxdepth 1 -type l -name '*.job' -exec ls -ld {} + |
        sed -n 's|^.*\.remote-slurm/claims/\([^/]*\)\.job -> \([0-9][0-9_]*\)$|>id \1 \2|p'
    find . -mindepth 2 -maxdepth 2 -name job.id -exec sh -c "$file_times" sh {} + |
        sed 's|^\(.*\)/job\.id |>submitted \1 |'
    # shellcheck disable=SC2016 # the inner shell's own variables
    find . -mindepth 2 -maxdepth 2 -name job.id \
        -exec sh -c 'for file; do read -r id <"$file" && printf ">id %s %s\n" "${file%/job.id}" "$id"; done' sh {} +
}

list() {
    enter_root || return
    list_containers
    list_jobs
    find . -mindepth 3 -maxdepth 3 -path './*/records/*' -type f ! -name '.*' -exec sh -c "$first_lines" sh {} +
    reply "listed $(date +%s)"
}

list
