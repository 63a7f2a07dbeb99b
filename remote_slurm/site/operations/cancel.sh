# shellcheck shell=sh
# shellcheck disable=SC2154 # squeue, output_of, scancel, removal and program are set in front of this text, with the function that `removal` names
# Carries out deletes as far as they go now; the payload has a line for each: POD FORCE GRACE, where FORCE is yes or no, and
# GRACE the seconds that take the place of the grace period that its runner knows, or `-`.
# One squeue for all of them. A pod's job is one whose batch script is the pod's, or whose id sbatch printed or the job
# claimed, if its output file is in the pod's folder as well: ids are reused, and accounts are shared.
#   >gone POD         no job, and no folder
#   >stopping POD     the job was told to end, or is ending
#   >busy POD WORDS   the folder could not be removed yet, and why
#   >queue CODE       squeue failed, and nothing was done beyond the tombstones

claims=.remote-slurm/claims

# The tombstone outlives the folder: a create that is still under way, or comes late, starts nothing. The claim settles
# who was first, a job that just begins or this delete. In a full home it may fail until a folder is gone.
write_tombstone() {
    true 2>/dev/null >"$claims/$1.deleted"
    ln -s deleted "$claims/$1.job" 2>/dev/null
    [ -e "$claims/$1.deleted" ] && [ -L "$claims/$1.job" ]
}

jobs_of() {
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
            *) printf '%s\n' "$queue" | grep "^$id|" | copy_of "$1" ;;
        esac
    done
}

# A job that runs a copy of the pod's script: a site's sbatch may make one, or pass the script on stdin. UNKNOWN: it claimed
# the pod, and nothing tells whether the id has been reused since then.
copy_of() {
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

# Whether sbatch was called for the pod at that time, give or take what a slow slurmctld and clocks do.
was_submitted_for() {
    for file in "$claims/$1.attempt" "$1/job.id"; do
        called=$(stat -c %Y "$file" 2>/dev/null || stat -f %m "$file" 2>/dev/null) || continue
        difference=$((${submitted:-0} - called))
        [ "$difference" -gt 300 ] || [ "$difference" -lt -300 ] || return 0
    done
    return 1
}

# Where nothing can be written, a job is rather told twice than never.
first_stop() {
    mkdir "$claims/$1.stop" 2>/dev/null || [ ! -d "$claims/$1.stop" ]
}

stop_job() {  # POD FORCE GRACE ID STATE
    case $5 in
        UNKNOWN) ;;
        # JobPhase.WAITING in domain/slurm/job_states.py
        PENDING | CONFIGURING | REQUEUE* | SPECIAL_EXIT | RESV_DEL_HOLD | POWER_UP_NODE) "$scancel" "$4" </dev/null ;;
        COMPLETING) ;;
        # scancel would try for a minute and a half to signal it, and all other deletes would wait
        SUSPENDED) [ "$2" = no ] || "$scancel" "$4" </dev/null ;;
        *)
            if [ "$2" = yes ]; then
                "$scancel" "$4" </dev/null
            elif first_stop "$1"; then
                [ "$3" = - ] || [ ! -d "$claims/$1.stop" ] || printf '%s\n' "$3" 2>/dev/null >"$claims/$1.stop/grace"
                # the runner passes it on and keeps the grace period
                "$scancel" --batch --signal=TERM "$4" </dev/null || rm -rf "$claims/$1.stop"
            fi
            ;;
    esac
}

# With its folder below job-workdir, to which the runner has left a link, and which may lie on another file system.
remove_pod() {
    elsewhere=$(readlink "$1/workdir")
    case $elsewhere in
        /*/"$1") remove "$elsewhere" ;;
    esac && remove "./$1"
}

# A container may have taken its own folders' write permission away, and its job could not give it back if it was killed.
# Who hangs in the kernel keeps what it has open: nothing of this round's.
remove() {
    limited rm -rf -- "$1" >/dev/null 2>&1 && return
    case $? in
        124 | 137 | 143) printf 'removing %s takes long, or its file system hangs\n' "$1" && return 1 ;;
    esac
    limited chmod -R u+rwX -- "$1" >/dev/null 2>&1
    limited rm -rf -- "$1" >/dev/null 2>&1 || remove_in_runtime "$1" || limited rm -rf -- "$1"
}

# What takes longer goes on in the next round: other deletes wait for this one.
limited() {
    timeout -k 5 10 "$@"
}

# What belongs to ids of users in an image, since the job was killed: the account alone may not remove it.
remove_in_runtime() {
    [ -n "$removal" ] && eval "$removal \"\$1\" $program"
}

# Whether the pod has a job, which is told to stop.
stop_jobs() {  # POD FORCE GRACE
    jobs=$(jobs_of "$1")
    [ -n "$jobs" ] || return 1
    printf '%s\n' "$jobs" | while read -r id state; do
        stop_job "$1" "$2" "$3" "$id" "$state"
    done
    case $jobs in
        *UNKNOWN) reply "busy $1 job ${jobs%% *} claimed the pod, is in the queue, and has another script" ;;
        *) reply "stopping $1" ;;
    esac
    return 0  # whatever became of the answer
}

clear_away() {  # POD
    if said=$(remove_pod "$1" 2>&1) && write_tombstone "$1"; then
        rm -rf "$claims/$1.attempt" "$claims/$1.stop" ".remote-slurm/incoming/$1".* \
            .remote-slurm/read/*/"$1".*  # of a sidecar that is gone
        reply "gone $1"
    else
        reply "busy $1 $(printf '%s\n' "$said" | head -n 1)"
    fi
}

# Jobs are told first. Who removes for longer than this round has time leaves the others for the next one.
carry_out() {
    finished=
    while read -r pod force grace; do
        stop_jobs "$pod" "$force" "$grace" || finished="$finished $pod"
    done
    now
    until=$((uptime + 20))
    for pod in $finished; do
        now
        if [ "$uptime" -lt "$until" ]; then
            clear_away "$pod"
        else
            reply "busy $pod"
        fi
    done
}

cancel() {
    enter_root && take_lines || return
    printf '%s' "$lines" | while read -r pod rest; do
        write_tombstone "$pod"
    done
    notify_owner
    if ! queue=$(eval "TZ=UTC SLURM_TIME_FORMAT=%s timeout -k 5 60 $squeue" </dev/null); then
        reply_after_command "queue 1"
        return
    fi
    printf '%s' "$lines" | carry_out
    notify_owner
    expire
}

cancel
