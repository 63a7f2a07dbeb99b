# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # values are set in front of this text; folders_used is for root.sh
# Deletes pods as far as possible now. The payload has a line for each pod: POD FORCE GRACE, where FORCE is yes or no, and
# GRACE is the grace period in seconds that replaces that of the pod's runner, or `-`. Values:
#   squeue, output_of   whole commands: the jobs of the account, and the output file of a job
#   scancel             the program
#   removal, program    a function in front of this text that removes files of other user ids in the container runtime, and its
#                       program; empty if the runtime has none
#   expires             not empty: what has expired is removed as well, see expire in root.sh
# A pod's job is one that runs the pod's batch script. It is also the job whose id sbatch printed or which is in the fence,
# if its output file is in the pod's folder: ids are reused, and accounts are shared.
#   >gone POD         the pod has no job and no folder
#   >stopping POD     the job was signalled or cancelled, or is ending
#   >busy POD WORDS   the folder could not be removed yet, and why
#   >queue CODE       squeue failed; only the tombstones were written
# The pods of a large Kubernetes Job are deleted together. They share each squeue, scancel and rm; a pod is handled alone
# only if that has failed for it.

claims=.remote-slurm/claims
folders_used=''
newline='
'

# --- tombstones ------------------------------------------------------------------------------------------------------

# A tombstone outlives the folder: a create that is under way, or comes late, starts nothing. The fence decides whether
# a job that just begins came first, or this delete. In a full home, the write may fail until a folder is gone: then
# `unmarked` is set to the pods without a tombstone.
write_tombstones() {  # POD...
    unmarked=' '
    for pod; do
        mark_deleted || { [ ! -d "$claims" ] && make_root && mark_deleted; } || unmarked="$unmarked$pod "
    done
    # a fence shows that a job came first, or this delete before
    fenced=' ' claimed=' '
    make_fences "$@" && return
    read_fences "$@"
    for pod; do
        case $fenced in
            *" $pod "*) ;;
            *) unmarked="$unmarked$pod " ;;
        esac
    done
}

# Makes POD.job in claims for each pod, which leads to deleted/POD.job and thus names no job. Returns 1 if one of them could not
# be made. One process makes many links.
make_fences() {  # POD...
    for pod; do
        shift
        set -- "$@" "deleted/$pod.job"
    done
    ln -s -- "$@" "$claims" 2>/dev/null
}

mark_deleted() {
    true >"$claims/$pod.deleted"
} 2>/dev/null

has_tombstone() {  # POD
    case $unmarked in
        *" $1 "*) return 1 ;;
    esac
}

# --- jobs ------------------------------------------------------------------------------------------------------------

# Sets ids to a word POD|ID for each id in a fence, and each one that sbatch printed.
read_ids() {
    ids=$claimed
    for pod in $pods; do
        id=
        { read -r id <"$pod/job.id"; } 2>/dev/null
        is_id "$id" || continue
        case $ids in
            *" $pod|$id "*) ;;
            *) ids="$ids$pod|$id " ;;
        esac
    done
}

# Sets fenced to the pods that have a fence, and claimed to a word POD|ID for each id in one. Not by readlink, which takes only
# one file on some systems.
read_fences() {  # POD...
    fenced=' ' claimed=' '
    if [ $# -eq 1 ]; then
        id=$(readlink "$claims/$1.job") && fenced=" $1 "
        ! is_id "$id" || claimed=" $1|$id "
        return 0
    fi
    for pod; do
        shift
        set -- "$@" "$claims/$pod.job"
    done
    fences=$(ls -ld -- "$@" 2>/dev/null)
    IFS=$newline
    for fence in $fences; do
        id=${fence##* -> }
        fence=${fence%.job -> *}
        fence=${fence##*/}
        fenced="$fenced$fence "
        ! is_id "$id" || claimed="$claimed$fence|$id "
    done
    unset IFS
}

# Sets jobs to a word POD|ID|STATE for each job of the pods.
find_jobs() {
    read_ids
    patterns=
    for pod in $pods; do
        patterns="$patterns$newline/$pod/job.sh"
    done
    for each in $ids; do
        patterns="$patterns$newline${each#*|}|"
    done
    # shellcheck disable=SC2046 # split into words
    set -- $(printf '%s\n' "$queue" | grep -F -e "${patterns#"$newline"}" | jobs_in_rows)
    jobs=" $* "
}

jobs_in_rows() {
    while IFS='|' read -r id state submitted command; do
        pod=${command%/job.sh}
        pod=${pod##*/}
        case $command in
            "$root/$pod/job.sh" | "$real_root/$pod/job.sh")
                case "$pods " in
                    *" $pod "*) printf '%s\n' "$pod|$id|$state" ;;
                esac
                ;;
            # a task of an array whose table is gone: see arrays.sh
            "$root"/.remote-slurm/arrays/*/job.sh | "$real_root"/.remote-slurm/arrays/*/job.sh) jobs_with_copy ;;
            "$root"/*/job.sh | "$real_root"/*/job.sh) ;;
            *) jobs_with_copy ;;
        esac
    done
}

# Prints a job that runs a copy of a pod's script: a site's sbatch may make one, or pass the script on stdin. UNKNOWN: the
# job is in the fence, and its id may have been reused since.
jobs_with_copy() {
    case $ids in
        *"|$id "*) ;;
        *) return ;;
    esac
    for each in $ids; do
        [ "${each#*|}" = "$id" ] || continue
        pod=${each%|*}
        output=$(eval "timeout -k 5 30 $output_of" '"--jobs=$id"' </dev/null 2>/dev/null)
        case $output in
            */.remote-slurm/arrays/*) output=$(rows_of_tasks "$id|${output%/*}/job.sh") ;;
        esac
        case $output in
            */"$pod"/*) ;;
            '' | /dev/null* | */.remote-slurm/arrays/*)
                if ! was_submitted_for "$pod"; then
                    case $claimed in
                        *" $each "*) printf '%s\n' "$pod|$id|UNKNOWN" ;;
                    esac
                    continue
                fi
                ;;
            *) continue ;;
        esac
        printf '%s\n' "$pod|$id|$state"
    done
}

# Whether sbatch was called for the pod within 300 s of that time: slurmctld may be slow, and clocks differ.
was_submitted_for() {  # POD
    for file in "$claims/$1.attempt" "$1/job.id"; do
        called=$(stat -c %Y "$file" 2>/dev/null || stat -f %m "$file" 2>/dev/null) || continue
        difference=$((${submitted:-0} - called))
        [ "$difference" -gt 300 ] || [ "$difference" -lt -300 ] || return 0
    done
    return 1
}

# --- stopping jobs ---------------------------------------------------------------------------------------------------

is_forced() {  # POD
    case "$forced " in
        *" $1 "*) ;;
        *) return 1 ;;
    esac
}

# Sets grace to the grace period of the pod's delete, if it has one.
read_grace() {  # POD
    grace=
    for request in $graces; do
        [ "${request%"|"*}" != "$1" ] || grace=${request##*"|"}
    done
}

# Sorts the jobs into those to cancel, whose shell is to be signalled, and other ones. Pods whose jobs still wait for a
# node are gone once these are cancelled: sets waited if there are any.
choose_jobs() {
    to_cancel='' to_signal='' waited=''
    for each in $jobs; do
        pod=${each%%"|"*}
        state=${each##*"|"}
        id=${each#*"|"}
        id=${id%"|"*}
        case $state in
            UNKNOWN | COMPLETING) ;;
            # JobPhase.WAITING in domain/slurm/job_states.py
            PENDING | CONFIGURING | REQUEUE* | SPECIAL_EXIT | RESV_DEL_HOLD | POWER_UP_NODE) to_cancel="$to_cancel $id" waited=yes ;;
            # scancel would try to signal it for 90 s, and all other deletes would wait
            SUSPENDED) ! is_forced "$pod" || to_cancel="$to_cancel $id" ;;
            *)
                if is_forced "$pod"; then
                    to_cancel="$to_cancel $id"
                elif [ ! -d "$claims/$pod.stop" ]; then
                    to_signal="$to_signal $pod|$id"
                fi
                ;;
        esac
    done
}

# A signal is marked before it is sent. If this script is killed in between, the pods that are marked are only killed after
# their grace periods: not many at once therefore.
signal_jobs() {
    set --
    for each in $to_signal; do
        set -- "$@" "$each"
        [ $# -lt 50 ] || { signal_together "$@" && set --; }
    done
    [ $# -eq 0 ] || signal_together "$@"
}

# If nothing can be written, a job is signalled again with each call, so that it is signalled at all.
signal_together() {  # POD|ID...
    together=$*
    for each; do
        shift
        set -- "$@" "$claims/${each%"|"*}.stop"
    done
    mkdir -- "$@" 2>/dev/null
    set --
    for each in $together; do
        pod=${each%"|"*}
        read_grace "$pod"
        [ -z "$grace" ] || [ ! -d "$claims/$pod.stop" ] || printf '%s\n' "$grace" 2>/dev/null >"$claims/$pod.stop/grace"
        set -- "$@" "${each#*"|"}"
    done
    send_signal "$@" || signal_again "$#"
    return 0
}

# The runner passes the signal to the containers and waits for the grace period. With --ctld, Slurm 24.05 and later need one
# request for all jobs: a site may allow two in a second.
send_signal() {  # ID...
    "$scancel" --ctld --batch --signal=TERM "$@" </dev/null
}

# scancel fails if one of the jobs has ended meanwhile, or its node does not answer. The others may get the signal twice; their
# runners pass it to a container once.
signal_again() {  # NUMBER
    now
    until=$((uptime + 20))
    for each in $together; do
        now
        if [ "$1" -eq 1 ] || [ "$uptime" -ge "$until" ] || ! send_signal "${each#*"|"}"; then
            rm -rf "$claims/${each%"|"*}.stop"
        fi
    done
}

# A job that waits for a node is gone as soon as it is cancelled, and so is its pod then. A slow slurmctld is not asked twice.
stop_jobs() {
    choose_jobs
    signal_jobs
    # shellcheck disable=SC2086 # split into ids
    [ -z "$to_cancel" ] || timeout -k 5 60 "$scancel" --ctld $to_cancel </dev/null
    if [ -n "$waited" ] && [ "$squeue_seconds" -lt 10 ] && list_queue; then
        find_jobs
    fi
}

reply_jobs() {
    for each in $jobs; do
        pod=${each%%"|"*}
        id=${each#*"|"}
        case $each in
            *UNKNOWN) reply "busy $pod job ${id%"|"*} has the fence of the pod, but another script: scancel it if it is the pod's job" ;;
            *) reply "stopping $pod" ;;
        esac
    done
}

# --- removing folders ------------------------------------------------------------------------------------------------

# After 20 s, the remaining pods wait for the next call.
remove_pods() {  # POD...
    now
    until=$((uptime + 20))
    remove_together "$@"
    for pod; do
        now
        case $removed in
            *" $pod "*) continue ;;
        esac
        if [ "$uptime" -ge "$until" ]; then
            reply "busy $pod the folders of other pods took longer than 20 s to remove"
        elif output=$(remove_pod "$pod" 2>&1); then
            removed="$removed$pod "
        else
            reply "busy $pod ${output%%"$newline"*}"
        fi
    done
    # shellcheck disable=SC2086 # split into pods
    [ "$removed" = ' ' ] || finish_deletes $removed
}

# Removes the folders that rm alone can remove. Sets removed to their pods if all of them are gone.
remove_together() {  # POD...
    removed=' '
    removable=' '
    for pod; do
        shift
        [ -L "$pod/workdir" ] || { set -- "$@" "./$pod" && removable="$removable$pod "; }
    done
    [ $# -eq 0 ] || ! remove_all limited "$@" >/dev/null 2>&1 || removed=$removable
}

# A parallel file system takes a while for each file: many folders are removed by eight processes at once, if xargs can.
remove_all() {  # limited|command PATH...
    how=$1
    shift
    if [ $# -lt 48 ]; then
        "$how" rm -rf -- "$@"
    else
        find_parallel
        printf '%s\0' "$@" | "$how" xargs -0 -r -n $((($# + 7) / 8)) "$parallel" rm -rf --
    fi
}

# Removes the pod's folder, and its folder below job-workdir: the runner left a link to it, which may lead to another file
# system.
remove_pod() {
    workdir=
    [ ! -L "$1/workdir" ] || workdir=$(readlink "$1/workdir")
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

# Removes what is left of pods without a folder, except for their tombstones.
finish_deletes() {  # POD...
    # shellcheck disable=SC2086 # split into pods
    [ "$unmarked" = ' ' ] || write_tombstones $unmarked
    gone=
    for pod; do
        shift
        if has_tombstone "$pod"; then
            gone="$gone $pod"
            set -- "$@" "$claims/$pod.attempt"
            [ ! -d "$claims/$pod.stop" ] || set -- "$@" "$claims/$pod.stop"
        else
            reply "busy $pod its tombstone cannot be written: DataRootFolder may be full or read-only"
        fi
    done
    # what a sidecar received or read that has ended: POD, or POD with a dot and more
    for file in .remote-slurm/incoming/* .remote-slurm/read/*/*; do
        pod=${file##*/}.
        while pod=${pod%.*} && [ -n "$pod" ]; do
            case "$gone " in
                *" $pod "*) set -- "$@" "$file" ;;
            esac
            case $pod in
                *.*) ;;
                *) break ;;
            esac
        done
    done
    # rm looks at a file before it removes it: of a pod alone, the attempt comes first
    case $gone in
        " "*" "*) ;;
        " "*) ! unlink "$1" 2>/dev/null || shift ;;
    esac
    [ $# -eq 0 ] || remove_all command "$@"
    for pod in $gone; do
        reply "gone $pod"
    done
}

# --- all pods --------------------------------------------------------------------------------------------------------

list_queue() {
    now
    squeue_seconds=-$uptime
    queue=$(eval "TZ=UTC SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0 timeout -k 5 60 $squeue" </dev/null) &&
        queue=$(rows_of_tasks "$queue") || return
    now
    squeue_seconds=$((squeue_seconds + uptime))
}

# Sets pods, forced to those whose jobs are killed, and graces to a word POD|GRACE for each pod with a grace period. Not one
# list for all: ${list#*WORD} takes dash a time that grows with the square of the list.
read_requests() {  # POD FORCE GRACE...
    pods='' forced='' graces=''
    while [ $# -gt 2 ]; do
        pods="$pods $1"
        [ "$2" = no ] || forced="$forced $1"
        [ "$3" = - ] || graces="$graces $1|$3"
        shift 3
    done
}

delete() {
    enter_root && take_lines || return
    # shellcheck disable=SC2086 # split into words
    read_requests $lines
    # shellcheck disable=SC2086 # split into pods
    write_tombstones $pods
    notify_owner
    if ! list_queue; then
        reply_after_command "queue 1"
        return
    fi
    find_jobs
    stop_jobs
    reply_jobs
    set --
    for pod in $pods; do
        case $jobs in
            *" $pod|"*) ;;
            *) set -- "$@" "$pod" ;;
        esac
    done
    [ $# -eq 0 ] || remove_pods "$@"
    notify_owner
    [ -z "$expires" ] || expire
}

delete
