# shellcheck shell=sh
# shellcheck disable=SC2154 # squeue, output_of, scancel, removal and program are set in front of this text, with the function that `removal` names
# Deletes pods as far as possible now. The payload has a line for each pod: POD FORCE GRACE, where FORCE is yes or no, and
# GRACE is the grace period in seconds that replaces that of the pod's runner, or `-`.
# One squeue for all pods. A pod's job is one that runs the pod's batch script. It is also the job whose id sbatch printed
# or which is in the fence, if its output file is in the pod's folder: ids are reused, and accounts are shared.
#   >gone POD         the pod has no job and no folder
#   >stopping POD     the job was signalled or cancelled, or is ending
#   >busy POD WORDS   the folder could not be removed yet, and why
#   >queue CODE       squeue failed; only the tombstones were written

claims=.remote-slurm/claims

# The tombstone outlives the folder: a create that is under way, or comes late, starts nothing. The fence decides whether
# a job that just begins came first, or this delete. In a full home, the write may fail until a folder is gone.
write_tombstone() {
    true 2>/dev/null >"$claims/$1.deleted"
    ln -s deleted "$claims/$1.job" 2>/dev/null
    [ -e "$claims/$1.deleted" ] && [ -L "$claims/$1.job" ]
}

jobs_of_pod() {
    printf '%s\n' "$queue" | grep -F "/$1/job.sh" | while IFS='|' read -r id state submitted command; do
        case $command in
            "$root/$1/job.sh" | "$real_root/$1/job.sh") printf '%s %s\n' "$id" "$state" ;;
        esac
    done
    recorded=''
    claimed=$(readlink "$claims/$1.job")
    [ ! -s "$1/job.id" ] || read -r recorded <"$1/job.id"
    [ "$recorded" != "$claimed" ] || recorded=''
    for id in "$claimed" "$recorded"; do
        case $id in
            '' | *[!0-9]*) ;;
            *) printf '%s\n' "$queue" | grep "^$id|" | job_with_copy "$1" ;;
        esac
    done
}

# Prints a job that runs a copy of the pod's script: a site's sbatch may make one, or pass the script on stdin. UNKNOWN: the
# job is in the fence, and its id may have been reused since.
job_with_copy() {
    IFS='|' read -r id state submitted command || return
    case $command in
        "$root"/*/job.sh | "$real_root"/*/job.sh) return ;;
    esac
    output=$(eval "timeout -k 5 30 $output_of" '"--jobs=$id"' </dev/null 2>/dev/null)
    case $output in
        */"$1"/*) ;;
        '' | /dev/null*)
            if ! was_submitted_for "$1"; then
                [ "$id" != "$claimed" ] || printf '%s UNKNOWN\n' "$id"
                return
            fi
            ;;
        *) return ;;
    esac
    printf '%s %s\n' "$id" "$state"
}

# Whether sbatch was called for the pod within 300 s of that time: slurmctld may be slow, and clocks differ.
was_submitted_for() {
    for file in "$claims/$1.attempt" "$1/job.id"; do
        called=$(stat -c %Y "$file" 2>/dev/null || stat -f %m "$file" 2>/dev/null) || continue
        difference=$((${submitted:-0} - called))
        [ "$difference" -gt 300 ] || [ "$difference" -lt -300 ] || return 0
    done
    return 1
}

# If nothing can be written, a job is signalled again with each call, so that it is signalled at all.
is_first_stop() {
    mkdir "$claims/$1.stop" 2>/dev/null || [ ! -d "$claims/$1.stop" ]
}

stop_job() {  # POD FORCE GRACE ID STATE
    case $5 in
        UNKNOWN) ;;
        # JobPhase.WAITING in domain/slurm/job_states.py
        PENDING | CONFIGURING | REQUEUE* | SPECIAL_EXIT | RESV_DEL_HOLD | POWER_UP_NODE) "$scancel" "$4" </dev/null ;;
        COMPLETING) ;;
        # scancel would try to signal it for 90 s, and all other deletes would wait
        SUSPENDED) [ "$2" = no ] || "$scancel" "$4" </dev/null ;;
        *)
            if [ "$2" = yes ]; then
                "$scancel" "$4" </dev/null
            elif is_first_stop "$1"; then
                [ "$3" = - ] || [ ! -d "$claims/$1.stop" ] || printf '%s\n' "$3" 2>/dev/null >"$claims/$1.stop/grace"
                # the runner passes the signal to the containers and waits for the grace period
                "$scancel" --batch --signal=TERM "$4" </dev/null || rm -rf "$claims/$1.stop"
            fi
            ;;
    esac
}

# Removes the pod's folder, and its folder below job-workdir: the runner left a link to it, which may lead to another file
# system.
remove_pod() {
    workdir=$(readlink "$1/workdir")
    case $workdir in
        /*/"$1") remove "$workdir" ;;
    esac && remove "./$1"
}

# A container may have removed the write permission of its folders, and a killed job could not restore it.
# A process that hangs in the kernel keeps its files open, but no pipe of this script.
remove() {
    limited rm -rf -- "$1" >/dev/null 2>&1 && return
    case $? in
        124 | 137 | 143) printf 'removing %s took longer than 10 s, and is continued: its file system may hang\n' "$1" && return 1 ;;
    esac
    limited chmod -R u+rwX -- "$1" >/dev/null 2>&1
    limited rm -rf -- "$1" >/dev/null 2>&1 || remove_in_runtime "$1" || limited rm -rf -- "$1"
}

# A longer command is continued by the next call, since other deletes wait for this one.
limited() {
    timeout -k 5 10 "$@"
}

# Removes files of a killed job that belong to user ids of an image, which the account itself may not remove.
remove_in_runtime() {
    [ -n "$removal" ] && eval "$removal \"\$1\" $program"
}

# Stops the jobs of the pod. Returns 1 if it has none.
stop_jobs() {  # POD FORCE GRACE
    jobs=$(jobs_of_pod "$1")
    [ -n "$jobs" ] || return 1
    printf '%s\n' "$jobs" | while read -r id state; do
        stop_job "$1" "$2" "$3" "$id" "$state"
    done
    case $jobs in
        *UNKNOWN) reply "busy $1 job ${jobs%% *} has the fence of the pod, but another script: scancel it if it is the pod's job" ;;
        *) reply "stopping $1" ;;
    esac
    return 0  # also if the reply could not be written
}

remove_folder() {  # POD
    if output=$(remove_pod "$1" 2>&1) && write_tombstone "$1"; then
        rm -rf "$claims/$1.attempt" "$claims/$1.stop" ".remote-slurm/incoming/$1".* \
            .remote-slurm/read/*/"$1".*  # of a sidecar that has ended
        reply "gone $1"
    else
        reply "busy $1 $(printf '%s\n' "$output" | head -n 1)"
    fi
}

# Stops jobs first. After 20 s of removing folders, the remaining ones wait for the next call.
delete_pods() {
    without_job=
    while read -r pod force grace; do
        stop_jobs "$pod" "$force" "$grace" || without_job="$without_job $pod"
    done
    now
    until=$((uptime + 20))
    for pod in $without_job; do
        now
        if [ "$uptime" -lt "$until" ]; then
            remove_folder "$pod"
        else
            reply "busy $pod"
        fi
    done
}

delete() {
    enter_root && take_lines || return
    printf '%s' "$lines" | while read -r pod rest; do
        write_tombstone "$pod"
    done
    notify_owner
    if ! queue=$(eval "TZ=UTC SLURM_TIME_FORMAT=%s timeout -k 5 60 $squeue" </dev/null); then
        reply_after_command "queue 1"
        return
    fi
    printf '%s' "$lines" | delete_pods
    notify_owner
    expire
}

delete
