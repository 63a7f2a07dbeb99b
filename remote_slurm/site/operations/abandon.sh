# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # values are set in front of this text; array, number, call, holder and marker by attempts.sh
# Ends the search for the job of a submission of unknown outcome. A job of its own: takes the pod's fence, so that a job that
# starts later runs no container. A task of an array: takes the fence of the array, unless Slurm shows the array. Values:
#   pod               whose submission it was
#   squeue, sacct     whole commands, which print the jobs of the account, and what it has submitted
# Replies:
#   >void             the fence holds no job, and no job will take it
#   >submitted ID     this job had taken the fence before, or is the task of an array that Slurm shows
#   >again            no job of the array starts anything: each of its pods can be submitted again
#   >fenced WORD      the fence holds neither, or cannot be created: nothing was decided
#   >queue CODE       squeue failed, so that nothing was decided for the array
#   >superseded       a newer sidecar owns the site, and searches for the job itself

claims=.remote-slurm/claims

abandon() {
    enter_root || return
    superseded && return
    find_attempt
    if [ "$marker" != "$claims/$pod.attempt" ] && [ ! -e "$marker" ]; then
        reply again
    elif [ -z "$array" ]; then
        abandon_pod
    elif is_id "$holder"; then
        reply "submitted ${holder}_$number"
    elif [ -z "$call" ] && ln -s void ".remote-slurm/arrays/$array/call" 2>/dev/null; then
        reply again
    else
        abandon_array
    fi
}

abandon_pod() {
    ln -s void "$claims/$pod.job" 2>/dev/null
    holder=$(readlink "$claims/$pod.job")
    if [ "$holder" = void ]; then
        reply void
    elif is_id "$holder"; then
        reply "submitted $holder"
    else
        reply "fenced ${holder:-unknown}"
    fi
}

# The script goes first: an sbatch that has not read it fails, and polls do not take the array for that of the pods any more. So
# an array that no poll has seen is seen here, or never.
abandon_array() {
    folder=.remote-slurm/arrays/$array
    [ ! -e "$folder/job.sh" ] || mv -f "$folder/job.sh" "$folder/given-up.sh" 2>/dev/null
    if find_array; then
        [ -z "$id" ] || ln -s "$id" "$folder/fence" 2>/dev/null
        ln -s void "$folder/fence" 2>/dev/null
        seen=
        look_at_array
        if is_void; then
            reply again
        elif is_id "$holder"; then
            reply "submitted ${holder}_$number"
        else
            reply "fenced ${holder:-unknown}"
        fi
    else
        reply_after_command "queue $code"
    fi
}

# Sets id to that of the array, if squeue lists it, or sacct, which has the command line of sbatch since Slurm 21.08.
find_array() {
    queue=$(eval "TZ=UTC SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0 timeout -k 5 20 $squeue" </dev/null)
    code=$?
    [ "$code" -eq 0 ] || return
    id=$(printf '%s\n' "$queue" | id_of_array)
    [ -n "$id" ] || id=$(eval "TZ=UTC SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0 timeout -k 5 20 $sacct" </dev/null 2>/dev/null | id_of_array)
    return 0
}

id_of_array() {
    sed -n "s|^\([0-9][0-9]*\)_.*/[.]remote-slurm/arrays/$array/job[.]sh.*|\1|p" | head -n 1
}

abandon
