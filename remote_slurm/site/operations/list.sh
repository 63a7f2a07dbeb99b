# shellcheck shell=sh
# shellcheck disable=SC2154 # file_times and records_of_pod are root.sh's
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
    # labels are long lines: by one process after another
    # shellcheck disable=SC2016 # awk's own variables
    names ./* | in_parallel "$scripts_of_pods" | tr '\n' '\0' | xargs -0 -r env LC_ALL=C awk '
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
    '
}

# The id is in the fence once the job has begun, and job.id then goes: folders come first, so that it is in one of them.
list_jobs() {
    names .remote-slurm/claims/*.attempt | in_parallel "$(line_by_line "$file_times")" |
        sed 's|^.*/\([^/]*\)\.attempt |>submitted \1 |'
    names ./* | in_parallel "$read_pods" | whole_lines
    names .remote-slurm/claims/*.job | in_parallel "$(line_by_line 'ls -ld -- "$@"')" |
        sed -n 's|^.*\.remote-slurm/claims/\([^/]*\)\.job -> \([0-9][0-9_]*\)$|>id \1 \2|p'
}

# shellcheck disable=SC2016 # the inner shell's own variables
scripts_of_pods='
for pod; do
    [ -d "$pod" ] && [ ! -L "$pod" ] || continue
    for file in "$pod/job.sh" "$pod/containers.sh"; do
        [ ! -e "$file" ] || printf "%s\n" "$file"
    done
done'

# The time of each job.id by one process for 50 pods
# shellcheck disable=SC2016 # the inner shell's own variables
read_pods='
with_id=
for pod; do
    [ -d "$pod" ] && [ ! -L "$pod" ] || continue
    { read -r id <"$pod/job.id" && printf ">id %s %s\n" "$pod" "$id" && with_id="$with_id $pod/job.id"; } 2>/dev/null'"$records_of_pod"'
done
set -- $with_id
[ $# -eq 0 ] || '"$(line_by_line "$file_times | sed 's|^\(.*\)/job\.id |>submitted \1 |'")"'
'

list() {
    enter_root || return
    list_containers
    list_jobs
    reply "listed $(date +%s)"
}

list
