# shellcheck shell=sh
# shellcheck disable=SC2154 # pods, sbatch, squeue, scancel, scontrol, incoming, seconds and wait_seconds are set in front of this text, payload_* by the session
# Creates the jobs of some pods, one after another. It can be sent again at any time, by anybody, in whatever company: it
# answers what became of the first time. Each answer is told as soon as it is known.
#   >submitted POD ID     the pod has a job
#   >attempted POD        sbatch was called, by whomever, and its id is not known (yet); lines `>said POD WORDS` may come before
#   >failed POD CODE      sbatch said no, in the words of the lines `>said POD WORDS` before
#   >deleted POD          the pod was deleted: nothing is started
#   >stored POD           its files are safe here, but its turn did not come within `seconds`: ask again, without a payload
#   >superseded           a newer sidecar goes on with those that are not answered
#   >pulling POD IMAGE    its files are safe here, and an image that it needs is being pulled: ask again
#   >failing POD REASON WORDS     likewise, but pulling it has failed, for this reason, and will be tried again
#   >unpullable POD REASON WORDS  an image that it needs cannot be had; see job/pull.sh
#   >short POD            the payload did not arrive whole, or could not be written whole
# A pod's folder appears by a rename, whole or not at all. `attempt` is decided by an exclusive create; it comes right
# before sbatch, so that an attempt without an id means looking, never calling sbatch again. Slurm's no is written into it:
# an attempt and its failure go together. A process costs more than all else here, so that the shell does itself what it
# can.

trap '' HUP PIPE  # once it is all here it goes on, even if the connection dies under it

claims=.remote-slurm/claims

# The claim counts more: it is the job whose containers run, should there be a second one.
find_id() {
    id=
    [ -L "$claims/$pod.job" ] && id=$(readlink "$claims/$pod.job")
    case $id in
        "" | *[!0-9]*) { [ -s "$pod/job.id" ] && read -r id <"$pod/job.id"; } || id= ;;
    esac
    [ -n "$id" ]
}

answer_if_known() {
    if [ -e "$claims/$pod.deleted" ]; then
        reply "deleted $pod"
    else
        find_id && reply "submitted $pod $id"
    fi
}

# --- files -----------------------------------------------------------------------------------------------------------

# The pods that nothing is known of yet, without those whose files are there.
missing_files() {
    missing=
    for pod in $pods; do
        [ -e "$claims/$pod.deleted" ] || [ -e "$pod/job.sh" ] || [ -e "$claims/$pod.attempt" ] || find_id ||
            missing="$missing $pod"
    done
    [ -n "$missing" ] && [ "$payload_size" -gt 0 ]
}

# One archive after another, each with its length and its checksum, which are gzip's: a payload that was cut off is no
# archive. Scripts that are the same for all pods may lie in it once, with a hard link in each pod's folder.
unpack() {
    mkdir "$incoming" && tar -xpz -C "$incoming" -f - || return
    set --
    for pod in $missing; do
        [ -e "$incoming/$pod/job.sh" ] && set -- "$@" "$incoming/$pod"
    done
    # onto a folder with something in it this fails: somebody else's payload came first, whole
    [ $# -eq 0 ] || mv -- "$@" . 2>/dev/null || :
}

# --- sbatch ----------------------------------------------------------------------------------------------------------

# Slurm replaces %j and the like in the name of the output file
output_name() {
    output=$root/$pod/job-%j.out
    case $root/$pod in
        *%*) output=$(printf '%s\n' "$root/$pod" | sed 's/%/%%/g')/job-%j.out ;;
    esac
    # a node that shares nothing has no such folder, and the job opens a file of its own
    [ -z "$scontrol" ] || output=/dev/null
}

# Whether the pod's flags say where the job starts.
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
        tell_words <"$err"
        if is_unknown; then
            reply "attempted $pod"
        else
            { printf '%s\n' "$code" && cat "$err"; } >"$incoming.failed" &&
                mv -f "$incoming.failed" "$claims/$pod.attempt"
            reply "failed $pod $code"
        fi
    fi
}

# A site's plugins and wrappers print lines of their own, before the id and after it. `Submitted batch job` and `ID;CLUSTER`
# are sbatch's own forms; of several lines of digits the queue tells which one is the job's.
id_of_sbatch() {
    said=$(sed -n 's/^Submitted batch job \([0-9][0-9]*\).*/\1 sure/p; s/^\([0-9][0-9]*\);.*$/\1 sure/p; s/^[0-9][0-9]*$/& /p')
    case $said in
        *sure*) said=$(printf '%s\n' "$said" | sed -n 's/ sure$//p') ;;
    esac
    # shellcheck disable=SC2086 # numbers
    set -- $said
    [ $# -le 1 ] || queued_of "$@"
    [ $# -ne 1 ] || echo "$1"
}

# The one whose script is the pod's, or else the only one in the queue: a wrapper may submit a copy.
queued_of() {
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

# Accepted without telling the id, or killed on the way: nobody knows. sbatch itself ends with 255 where it does not like an
# option, and so does the ssh of a wrapper that has lost its connection.
is_unknown() {
    [ "$code" -eq 0 ] || { [ "$code" -gt 128 ] && ! { [ "$code" -eq 255 ] && grep -q '^sbatch: ' "$err"; }; }
}

tell_words() {
    printf '%s\n' "$(cat)" | sed "s|^|>said $pod |"
}

# To whoever asks again since the answer was lost, until it is withdrawn.
tell_failure() {
    [ -s "$claims/$pod.attempt" ] || return
    { read -r code && tell_words; } <"$claims/$pod.attempt"
    reply "failed $pod $code"
}

take_id() {
    printf '%s\n' "$id" >"$pod/job.id"  # half an id, on a full disk, has no end of line
    [ ! -e "$pod/again" ] || rm -f "$pod/again"
    # it is the claimed one that is released, now or by the next poll
    if [ -n "$scontrol" ] && ! release_job >/dev/null 2>&1 && is_claimed_by_another; then
        "$scancel" "$id" </dev/null
        find_id
    fi
    # a delete that came meanwhile saw no job in the queue
    [ -e "$claims/$pod.deleted" ] && "$scancel" "$id" </dev/null
    reply "submitted $pod $id"
}

# --- images ----------------------------------------------------------------------------------------------------------

# Where ImagePull is not node, a job is not submitted before its images are there. See job/pull.sh.
lacks_images() {
    [ -e "$pod/images.first" ] || return
    said=$(/bin/sh "$pod/pull.sh" ask "$root/$pod" </dev/null 2>/dev/null)
    case $said in
        ready) return 1 ;;
        "failed "*) reply "unpullable $pod ${said#failed }" ;;
        "failing "*) reply "failing $pod ${said#failing }" ;;
        *) reply "pulling $pod ${said#pulling }" ;;
    esac
    true 2>/dev/null >"$pod/again"  # a sidecar that starts anew goes on with it
}

# --- one pod after another -------------------------------------------------------------------------------------------

# Exclusive as mkdir is (O_EXCL), without a process. `true`, since a special built-in that fails would end the shell.
attempt() {
    set -C
    true >"$claims/$pod.attempt"
    code=$?
    set +C
    return "$code"
}

# Somebody else's attempt came first; or no file can be made, and then nobody has called sbatch.
lost_attempt() {
    if [ -e "$claims/$pod.attempt" ]; then
        attempted="$attempted $pod"
    else
        reply "short $pod"
    fi
}

submit_pod() {
    answer_if_known && return
    now
    if [ -e "$claims/$pod.attempt" ]; then
        tell_failure || attempted="$attempted $pod"
    elif [ -e "$pod/again" ] && superseded; then
        : # only the owner submits a pod again, since it may be about to withdraw the attempt before
    elif [ ! -e "$pod/job.sh" ]; then
        reply "short $pod"
    elif [ "$uptime" -ge "$until" ]; then
        true 2>/dev/null >"$pod/again"  # a sidecar that starts anew goes on with it
        reply "stored $pod"
    elif ! true 2>/dev/null >"$err"; then
        # a full home: the shell would not even call sbatch, which must not be taken for its no
        reply "short $pod"
    elif lacks_images; then
        :
    elif ! attempt 2>/dev/null; then
        lost_attempt
    elif [ -e "$claims/$pod.deleted" ]; then
        # nobody else will remove what came too late
        rm -rf -- "./$pod" && rm -f "$claims/$pod.attempt"
        reply "deleted $pod"
    else
        call_sbatch
    fi
}

# Somebody else has called sbatch for them, and may be told what it says right now.
wait_for_answers() {
    while [ -n "$attempted" ]; do
        waiting=$attempted
        attempted=
        for pod in $waiting; do
            answer_if_known || tell_failure || attempted="$attempted $pod"
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
    if missing_files; then
        acted=yes
        notify_owner
        unpack
    fi
    for pod in $pods; do
        submit_pod
    done
    wait_for_answers
}

submit
[ -z "$acted" ] || notify_owner
rm -rf "$incoming" "$incoming".*
