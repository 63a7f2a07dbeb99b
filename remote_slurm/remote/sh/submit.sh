# shellcheck shell=sh
# shellcheck disable=SC2154 # pod, sbatch, scancel, incoming and wait_seconds are set in front of this text, payload_* by the session
# Creates a pod's job. It can be sent again at any time, by anybody: it answers what became of the first time.
#   >submitted ID     the pod has a job
#   >attempted        sbatch was called, by whomever, and its id is not known (yet)
#   >failed CODE      sbatch said no; what it said follows
#   >deleted          the pod was deleted: nothing is started
#   >short            the payload did not arrive whole, or could not be written whole
# The pod's folder appears by a rename, whole or not at all. `attempt` is decided by mkdir, which is exclusive; it comes
# before sbatch, so that an attempt without an id means looking, never calling sbatch again.

trap '' HUP PIPE  # once it is all here it goes on, even if the connection dies under it

claims=.remote-slurm/claims

# The claim counts more: it is the job whose containers run, should there be a second one.
job_id() {
    owner=$(readlink "$claims/$pod.job")
    case $owner in
        "" | *[!0-9]*) [ -s "$pod/job.id" ] && cat "$pod/job.id" ;;
        *) printf '%s\n' "$owner" ;;
    esac
}

answer_if_known() {
    if [ -e "$claims/$pod.deleted" ]; then
        reply deleted
        return
    fi
    id=$(job_id)
    [ -n "$id" ] && reply "submitted $id"
}

wait_for_id() {
    while [ "$wait_seconds" -gt 0 ]; do
        answer_if_known && return
        sleep 1
        wait_seconds=$((wait_seconds - 1))
    done
    reply attempted
}

take_payload() {
    [ -e "$pod/job.sh" ] && return
    rm -rf "$incoming"
    mkdir "$incoming" || return
    head -c "$payload_size" >"$incoming/payload" || return
    arrived=$(sha256sum <"$incoming/payload") || return
    [ "${arrived%% *}" = "$payload_sha256" ] || return
    mkdir "$incoming/folder" && tar -xpzf "$incoming/payload" -C "$incoming/folder" || return
    # onto an existing folder with something in it this fails: somebody else's payload came first, whole
    mv -T "$incoming/folder" "$pod" 2>/dev/null || [ -e "$pod/job.sh" ]
}

call_sbatch() {
    # Slurm replaces %j and the like in the name of the output file
    output=$(printf '%s\n' "$root/$pod" | sed 's/%/%%/g')/job-%j.out
    out=$(cd "$pod" && "$sbatch" --parsable --output="$output" "$root/$pod/job.sh" 2>sbatch.err </dev/null)
    code=$?
    # warnings of site plugins may come before the id
    id=$(printf '%s\n' "$out" | sed -n 's/^\([0-9][0-9]*\)\(;.*\)\{0,1\}$/\1/p' | tail -n 1)
    if [ "$code" -eq 0 ] && [ -n "$id" ]; then
        printf '%s\n' "$id" >"$pod/.job.id" && mv -f "$pod/.job.id" "$pod/job.id"
        rm -f "$pod/again"
        # a delete that came meanwhile saw no job in the queue
        [ -e "$claims/$pod.deleted" ] && "$scancel" "$id"
        reply "submitted $id"
    elif [ "$code" -eq 0 ] || [ "$code" -gt 128 ]; then
        # accepted without telling the id, or killed on the way: nobody knows
        reply attempted
        printf '%s\n' "$out"
    else
        reply "failed $code"
        printf '%s\n' "$out"
    fi
    cat "$pod/sbatch.err"
}

submit() {
    enter_root || return
    answer_if_known && return
    if [ -d "$claims/$pod.attempt" ]; then
        wait_for_id
        return
    fi
    if ! take_payload; then
        reply short
        return
    fi
    if ! mkdir "$claims/$pod.attempt" 2>/dev/null; then
        wait_for_id
    elif [ -e "$claims/$pod.deleted" ]; then
        # nobody else will remove what came too late
        rm -rf -- "./$pod" && rmdir "$claims/$pod.attempt"
        reply deleted
    else
        call_sbatch
    fi
}

submit
rm -rf "$incoming"
