# shellcheck shell=sh
# shellcheck disable=SC2154 # squeue and scancel are set in front of this text
# Carries out deletes as far as they go now; the payload has a line for each: POD FORCE GRACE, where FORCE is yes or no, and
# GRACE the seconds that take the place of the grace period that its runner knows, or `-`.
# One squeue for all of them. Only a job whose batch script is the pod's is ever cancelled: ids are reused, and accounts
# are shared.
#   >gone POD         no job, and no folder
#   >stopping POD     the job was told to end, or is ending
#   >busy POD         the folder could not be removed yet
#   >queue CODE       squeue failed, and nothing was done beyond the tombstones

claims=.remote-slurm/claims

# The tombstone outlives the folder: a create that is still under way, or comes late, starts nothing. The claim settles
# who was first, a job that just begins or this delete. In a full home it may fail until a folder is gone.
bury() {
    true 2>/dev/null >"$claims/$1.deleted"
    ln -s deleted "$claims/$1.job" 2>/dev/null
    [ -e "$claims/$1.deleted" ] && [ -L "$claims/$1.job" ]
}

jobs_of() {
    printf '%s\n' "$queue" | grep -F -- "|$root/$1/job.sh" | while IFS='|' read -r id state command; do
        [ "$command" = "$root/$1/job.sh" ] && printf '%s %s\n' "$id" "$state"
    done
}

stop_job() {  # POD FORCE GRACE ID STATE
    case $5 in
        PENDING | CONFIGURING | REQUEUE* | SPECIAL_EXIT | RESV_DEL_HOLD) "$scancel" "$4" </dev/null ;;
        COMPLETING) ;;
        *)
            if [ "$2" = yes ]; then
                "$scancel" "$4" </dev/null
            elif mkdir "$claims/$1.stop" 2>/dev/null; then
                [ "$3" = - ] || printf '%s\n' "$3" 2>/dev/null >"$claims/$1.stop/grace"
                # the runner passes it on and keeps the grace period
                "$scancel" --batch --signal=TERM "$4" </dev/null || rm -rf "$claims/$1.stop"
            fi
            ;;
    esac
}

# With its folder below job-workdir, to which the runner has left a link.
remove_pod() {
    elsewhere=$(readlink "$1/workdir")
    case $elsewhere in
        /*/"$1") remove "$elsewhere" ;;
    esac && remove "./$1"
}

# A container may have taken its own folders' write permission away, and its job could not give it back if it was killed.
remove() {
    rm -rf -- "$1" 2>/dev/null || { chmod -R u+rwX -- "$1" 2>/dev/null && rm -rf -- "$1"; }
}

cancel_pod() {  # POD FORCE GRACE
    jobs=$(jobs_of "$1")
    if [ -n "$jobs" ]; then
        printf '%s\n' "$jobs" | while read -r id state; do
            stop_job "$1" "$2" "$3" "$id" "$state"
        done
        reply "stopping $1"
    elif remove_pod "$1" && bury "$1"; then
        rm -rf "$claims/$1.attempt" "$claims/$1.stop" ".remote-slurm/incoming/$1".* \
            .remote-slurm/read/*/"$1".*  # of a sidecar that is gone
        reply "gone $1"
    else
        reply "busy $1"
    fi
}

cancel() {
    enter_root && take_lines || return
    printf '%s' "$lines" | while read -r pod rest; do
        bury "$pod"
    done
    if ! queue=$(eval "timeout -k 5 60 $squeue" </dev/null); then
        reply "queue 1"
        return
    fi
    printf '%s' "$lines" | while read -r pod force grace; do
        cancel_pod "$pod" "$force" "$grace"
    done
    expire
}

cancel
