# shellcheck shell=sh
# shellcheck disable=SC2154 # pods, sbatch, squeue, scancel, scontrol, incoming, seconds and wait_seconds are set in front of this text, payload_* by the session
# Submits the jobs of some pods, one after another. It can be sent again at any time, by any sidecar, with other pods: it
# reports the outcome of the first call. Each reply is printed as soon as it is known.
#   >submitted POD ID     the pod has a job
#   >attempted POD        sbatch was called, by this script or another one, and its id is unknown; its messages come before
#   >failed POD CODE      sbatch failed; its messages come before
#   >message POD WORDS    a line that sbatch printed
#   >deleted POD          the pod was deleted: nothing is started
#   >stored POD           its files are stored, but its turn did not come within `seconds`: ask again, without a payload
#   >superseded           a newer sidecar continues with the pods that have no reply
#   >pulling POD IMAGE    its files are stored, and an image is being pulled: ask again
#   >failing POD REASON WORDS     its files are stored; the pull has failed, and will be repeated
#   >unpullable POD REASON WORDS  the pull of an image has failed for good; see job/pull.sh
#   >short POD            the payload did not arrive whole, or could not be written whole
# A pod's folder appears by a rename, whole or not at all. The attempt marker is an exclusive create right before sbatch: if
# there is a marker without a job id, the sidecar searches for the job, and never calls sbatch again. A failure of sbatch
# is written into the marker, so that both exist together. Processes are the main cost of this script, so that the shell
# does itself what it can.

trap '' HUP PIPE  # a payload that has arrived whole is processed even if the connection is lost

claims=.remote-slurm/claims

# The fence comes first: if the pod has two jobs, the containers of the one in the fence run.
find_id() {
    id=
    [ -L "$claims/$pod.job" ] && id=$(readlink "$claims/$pod.job")
    case $id in
        "" | *[!0-9]*) { [ -s "$pod/job.id" ] && read -r id <"$pod/job.id"; } || id= ;;
    esac
    [ -n "$id" ]
}

reply_if_known() {
    if [ -e "$claims/$pod.deleted" ]; then
        reply "deleted $pod"
    else
        find_id && reply "submitted $pod $id"
    fi
}

# --- files -----------------------------------------------------------------------------------------------------------

# Sets missing to the pods that have neither files nor a job, attempt or tombstone. Whether there are any, and a payload.
lacks_files() {
    missing=
    for pod in $pods; do
        [ -e "$claims/$pod.deleted" ] || [ -e "$pod/job.sh" ] || [ -e "$claims/$pod.attempt" ] || find_id ||
            missing="$missing $pod"
    done
    [ -n "$missing" ] && [ "$payload_size" -gt 0 ]
}

# Unpacks the payload, which is one gzip archive after another: gzip checks length and checksum, so that an incomplete
# payload fails. Scripts that are the same for all pods may be in it once, with a hard link in each pod's folder.
unpack() {
    mkdir "$incoming" && tar -xpz -C "$incoming" -f - || return
    set --
    for pod in $missing; do
        [ -e "$incoming/$pod/job.sh" ] && set -- "$@" "$incoming/$pod"
    done
    # fails if the folder exists and is not empty: another payload came first, whole
    [ $# -eq 0 ] || mv -- "$@" . 2>/dev/null || :
}

# --- sbatch ----------------------------------------------------------------------------------------------------------

# Sets output to the path of the output file, in which Slurm replaces %j and similar patterns
output_name() {
    output=$root/$pod/job-%j.out
    case $root/$pod in
        *%*) output=$(printf '%s\n' "$root/$pod" | sed 's/%/%%/g')/job-%j.out ;;
    esac
    # a node without a shared file system has no such folder; the job opens a file on the node
    [ -z "$scontrol" ] || output=/dev/null
}

# Whether the pod's flags set the working folder of the job.
has_own_chdir() {
    while IFS= read -r line; do
        case $line in
            '#SBATCH --chdir='*) return ;;
            '#'*) ;;
            *) return 1 ;;
        esac
    done <"$pod/job.sh"
    return 1
}

call_sbatch() {
    acted=yes
    output_name
    set -- --parsable --output="$output"
    if [ -n "$scontrol" ]; then
        set -- "$@" --hold
    elif ! has_own_chdir; then
        set -- "$@" --chdir="$root/$pod"  # sbatch itself would pass the path without links
    fi
    out=$(cd "$pod" && exec "$sbatch" "$@" "$root/$pod/job.sh" 2>"$err" </dev/null)
    code=$?
    id=$out
    case $id in
        *[!0-9]*) id=$(printf '%s\n' "$out" | id_of_sbatch) ;;
    esac
    if [ "$code" -eq 0 ] && [ -n "$id" ]; then
        take_id
    else
        [ -z "$out" ] || printf '%s\n' "$out" >>"$err"
        reply_messages <"$err"
        if is_unknown; then
            reply "attempted $pod"
        else
            { printf '%s\n' "$code" && cat "$err"; } >"$incoming.failed" &&
                mv -f "$incoming.failed" "$claims/$pod.attempt"
            reply "failed $pod $code"
        fi
    fi
}

# Prints the job id in the output of sbatch. Plugins and wrappers print further lines before and after it. `Submitted batch
# job` and `ID;CLUSTER` are forms of sbatch itself; of several lines of digits, squeue decides which one is a job.
id_of_sbatch() {
    output=$(sed -n 's/^Submitted batch job \([0-9][0-9]*\).*/\1 sure/p; s/^\([0-9][0-9]*\);.*$/\1 sure/p; s/^[0-9][0-9]*$/& /p')
    case $output in
        *sure*) output=$(printf '%s\n' "$output" | sed -n 's/ sure$//p') ;;
    esac
    # shellcheck disable=SC2086 # split into numbers
    set -- $output
    [ $# -le 1 ] || id_in_queue "$@"
    [ $# -ne 1 ] || echo "$1"
}

# Prints the id whose job runs the pod's script, or else the only one in the queue: a wrapper may submit a copy.
id_in_queue() {
    queue=$(eval "TZ=UTC SLURM_TIME_FORMAT=%s timeout -k 5 20 $squeue" </dev/null 2>/dev/null)
    in_queue=
    for each; do
        row=$(printf '%s\n' "$queue" | grep "^$each|") || continue
        case $row in
            *"|$root/$pod/job.sh" | *"|$real_root/$pod/job.sh") in_queue=$each && break ;;
        esac
        in_queue="$in_queue $each"
    done
    case $in_queue in
        "" | " "*" "*) ;;
        *) echo "${in_queue# }" ;;
    esac
}

# Whether the outcome is unknown: sbatch printed no id, or was killed. 255 is the exit code of sbatch for an invalid option,
# and of ssh in a wrapper that has lost its connection.
is_unknown() {
    [ "$code" -eq 0 ] || { [ "$code" -gt 128 ] && ! { [ "$code" -eq 255 ] && grep -q '^sbatch: ' "$err"; }; }
}

reply_messages() {
    printf '%s\n' "$(cat)" | sed "s|^|>message $pod |"
}

# Reports the failure again, since the reply may be lost, until the attempt is withdrawn.
reply_failure() {
    [ -s "$claims/$pod.attempt" ] || return
    { read -r code && reply_messages; } <"$claims/$pod.attempt"
    reply "failed $pod $code"
}

take_id() {
    printf '%s\n' "$id" >"$pod/job.id"  # without its newline, an id is incomplete: the disk was full
    [ ! -e "$pod/again" ] || rm -f "$pod/again"
    # the job in the fence is released, now or by the next poll
    if [ -n "$scontrol" ] && ! release_job >/dev/null 2>&1 && is_fenced_by_another; then
        "$scancel" "$id" </dev/null
        find_id
    fi
    # a delete that came meanwhile found no job in the queue
    [ -e "$claims/$pod.deleted" ] && "$scancel" "$id" </dev/null
    reply "submitted $pod $id"
}

# --- images ----------------------------------------------------------------------------------------------------------

# If ImagePull is not node, a job is submitted after its images are pulled. See job/pull.sh.
lacks_images() {
    [ -e "$pod/images.first" ] || return
    output=$(/bin/sh "$pod/pull.sh" ask "$root/$pod" </dev/null 2>/dev/null)
    case $output in
        ready) return 1 ;;
        "failed "*) reply "unpullable $pod ${output#failed }" ;;
        "failing "*) reply "failing $pod ${output#failing }" ;;
        *) reply "pulling $pod ${output#pulling }" ;;
    esac
    true 2>/dev/null >"$pod/again"  # a sidecar that starts later continues with it
}

# --- one pod after another -------------------------------------------------------------------------------------------

# Exclusive like mkdir (O_EXCL), without a process. With `true`, since a special built-in that fails would end the shell.
attempt() {
    set -C
    true >"$claims/$pod.attempt"
    code=$?
    set +C
    return "$code"
}

# Another attempt came first; or no file can be created, and then sbatch was not called.
lost_attempt() {
    if [ -e "$claims/$pod.attempt" ]; then
        attempted="$attempted $pod"
    else
        reply "short $pod"
    fi
}

submit_pod() {
    reply_if_known && return
    now
    if [ -e "$claims/$pod.attempt" ]; then
        reply_failure || attempted="$attempted $pod"
    elif [ -e "$pod/again" ] && superseded; then
        : # only the owner submits a pod again, since it may be about to withdraw the attempt before
    elif [ ! -e "$pod/job.sh" ]; then
        reply "short $pod"
    elif [ "$uptime" -ge "$until" ]; then
        true 2>/dev/null >"$pod/again"  # a sidecar that starts later continues with it
        reply "stored $pod"
    elif ! true 2>/dev/null >"$err"; then
        # a full home: the shell would not call sbatch, which must not be reported as a failure of sbatch
        reply "short $pod"
    elif lacks_images; then
        :
    elif ! attempt 2>/dev/null; then
        lost_attempt
    elif [ -e "$claims/$pod.deleted" ]; then
        # the delete is over, so that only this script can remove what arrived after it
        rm -rf -- "./$pod" && rm -f "$claims/$pod.attempt"
        reply "deleted $pod"
    else
        call_sbatch
    fi
}

# Waits for other scripts that have called sbatch for the same pods.
wait_for_other_scripts() {
    while [ -n "$attempted" ]; do
        waiting=$attempted
        attempted=
        for pod in $waiting; do
            reply_if_known || reply_failure || attempted="$attempted $pod"
        done
        [ -n "$attempted" ] && [ "$wait_seconds" -gt 0 ] || break
        sleep 1
        wait_seconds=$((wait_seconds - 1))
    done
    for pod in $attempted; do
        reply "attempted $pod"
    done
}

submit() {
    enter_root || return
    now
    until=$((uptime + seconds))
    err=$root/$incoming.err
    attempted=
    acted=
    if lacks_files; then
        acted=yes
        notify_owner
        unpack
    fi
    for pod in $pods; do
        submit_pod
    done
    wait_for_other_scripts
}

submit
[ -z "$acted" ] || notify_owner
rm -rf "$incoming" "$incoming".*
