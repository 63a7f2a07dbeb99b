# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # values are set in front of this text, payload_size by the session; attempts.sh uses others
# Submits the jobs of some pods, one after another. It can be sent again at any time, by any sidecar, with other pods: it
# reports the outcome of the first call. Values:
#   pods                        all pods, in the order of their submission
#   packed                      the pods whose files the payload has
#   pulling                     the pods whose images are pulled before they are submitted
#   own_chdir                   the pods of the payload whose flags set the working folder of the job
#   alone                       the pods that get a job each
#   arrays                      the numbers N of job arrays: the pods of members_N are the tasks, at most throttle_N run at
#                               once, and the script has a line for each pod between head_N and foot_N
#   libraries, sums             the scripts that the pods share, by their names in .remote-slurm/lib, and the sums of their files
#   sent                        the libraries that the payload has
#   incoming                    a new name for the folder of what arrives
#   sbatch, scancel, scontrol   the programs; scontrol is empty unless jobs are submitted held (SHARED_FS: false)
#   squeue                      the whole command
#   seconds                     after this time, sbatch is called for no further pod
#   wait_seconds                how long to wait for the id of a pod for which another script has called sbatch
# Each reply is printed as soon as it is known:
#   >submitted POD ID     the pod has a job
#   >attempted POD        sbatch was called, by this script or another one, and its id is unknown; its messages come before
#   >failed POD CODE      sbatch failed; its messages come before
#   >failed POD CODE N    sbatch failed for an array of N pods, and this is one of them
#   >message POD WORDS    a line that sbatch printed
#   >deleted POD          the pod was deleted: nothing is started
#   >stored POD           its files are stored, but its turn did not come within `seconds`: ask again, without a payload
#   >superseded           a newer sidecar continues with the pods that have no reply
#   >pulling POD IMAGE    its files are stored, and an image is being pulled: ask again
#   >failing POD REASON WORDS     its files are stored; the pull has failed, and will be repeated
#   >unpullable POD REASON WORDS  the pull of an image has failed for good; see job/pull.sh
#   >short POD            the payload did not arrive whole, or could not be written whole
#   >lacks LIBRARY        scripts that pods share are missing or were changed: nothing is submitted, send them as well
# A pod's folder appears by a rename, whole or not at all. The attempt marker is an exclusive create right before sbatch: if
# there is a marker without a job id, the sidecar searches for the job, and never calls sbatch again. A failure of sbatch
# is written into the marker, so that both exist together: see attempts.sh. Processes are the main cost of this script, so that the shell
# does itself what it can. Each question of the file system is the other cost: of a pod whose folder has just appeared, much is
# known, and its first attempt asks only for what decides (`fresh`).

trap '' HUP PIPE  # a payload that has arrived whole is processed even if the connection is lost

claims=.remote-slurm/claims
folders_used=''  # what needs one makes it if it is missing
unset SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID  # jobs keep the environment, and these would make a job a task

# The fence comes first: if the pod has two jobs, the containers of the one in the fence run.
find_id() {
    id=
    [ -L "$claims/$pod.job" ] && id=$(readlink "$claims/$pod.job")
    is_id "$id" || { [ -s "$pod/job.id" ] && read -r id <"$pod/job.id"; } || id=
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

# Sets missing to the `packed` pods, whose files the payload has, that have no job, attempt or tombstone. Whether there are any, or
# libraries that are `sent`, and a payload.
lacks_files() {
    missing=
    [ "$payload_size" -gt 0 ] || return
    for pod in $packed; do
        [ -e "$claims/$pod.deleted" ] || [ -e "$claims/$pod.attempt" ] || [ -L "$claims/$pod.job" ] || missing="$missing $pod"
    done
    [ -n "$missing$sent" ]
}

# Unpacks the payload, which is one gzip archive after another: gzip checks length and checksum, so that an incomplete
# payload fails. Its folder lib has libraries. -m: a purge would remove files with the time in the archive, which is 1970.
# Sets fresh to the pods whose folders did not exist before.
unpack() {
    unpack_alone && return
    make_incoming && tar -xpmz -C "$incoming" -f - || return
    [ -n "$missing" ] || return 0
    set --
    for pod in $missing; do
        set -- "$@" "$incoming/$pod"
    done
    # fails if a folder exists and is not empty: another payload came first, whole
    move_here "$@" 2>/dev/null && fresh=$missing
}

# A pod alone has a folder of its own name to be unpacked in, if no other script uses it: then no folder around it is made and
# removed. Whether that was done, however it ended.
unpack_alone() {
    case $packed in
        *" "*) return 1 ;;
    esac
    [ -z "$sent" ] && [ "$missing" = " $packed" ] && mkdir ".remote-slurm/incoming/$packed" 2>/dev/null || return
    own=.remote-slurm/incoming/$packed
    tar -xpmz -C .remote-slurm/incoming -f - && move_here "$own" 2>/dev/null && own='' fresh=$missing
    return 0
}

make_incoming() {
    unpacked=yes
    mkdir "$incoming" 2>/dev/null || { make_root && mkdir "$incoming"; }
}

# `mv FOLDER .` of coreutils tries to rename it to `.` first. BSD has no -t.
move_here() {  # PATH...
    mv -t . -- "$@" || mv -- "$@" .
}

is_fresh() {
    case "$fresh " in
        *" $pod "*) ;;
        *) return 1 ;;
    esac
}

# Replies which libraries are missing or changed. After the folders of the pods have appeared, since tend_libraries.sh looks
# for folders that need a library after it has moved it away.
lacks_libraries() {
    { [ -z "$libraries" ] || are_whole; } && return 1
    lacking=
    for library in $libraries; do
        is_whole "$library" || replace "$library" || { lacking="$lacking $library" && reply "lacks $library"; }
    done
    [ -n "$lacking" ]
}

# By one process for all: `sums` is what it prints then.
are_whole() {
    patterns=
    for library in $libraries; do
        patterns="$patterns $library/*.sh"
    done
    # shellcheck disable=SC2086 # expanded to the names of the scripts
    [ "$(cd .remote-slurm/lib 2>/dev/null && sha256sum $patterns 2>/dev/null)" = "$sums" ]
}

# Of a library that was sent, and lacks all the same, the messages of commands say why it could not be stored.
reply_unstored() {
    for library in $lacking; do
        case " $sent " in
            *" $library "*) ;;
            *) continue ;;
        esac
        for pod in $pods; do
            reply_if_known || reply "short $pod"
        done
        break
    done
}

# Each library appears by a rename, so that jobs see a whole one, or wait. It fails if another script came first.
replace() {
    [ -d "$incoming/lib/$1" ] || return
    [ -d .remote-slurm/lib ] || mkdir -p .remote-slurm/lib
    [ ! -e ".remote-slurm/lib/$1" ] || mv -- ".remote-slurm/lib/$1" "$incoming/" 2>/dev/null
    output=$(mv -- "$incoming/lib/$1" .remote-slurm/lib/ 2>&1) || is_whole "$1" || { printf '%s\n' "$output" && return 1; }
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

# Whether the pod's flags set the working folder of the job. Of files that have just arrived, the sidecar says it: a shell reads
# each byte of a script by a system call of its own.
has_own_chdir() {
    if is_fresh; then
        case " $own_chdir " in
            *" $pod "*) return ;;
        esac
        return 1
    fi
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
    script=$pod/job.sh
    output_name
    set -- --parsable --output="$output"
    if [ -n "$scontrol" ]; then
        set -- "$@" --hold
    elif ! has_own_chdir; then
        set -- "$@" --chdir="$root/$pod"  # sbatch itself would pass the path without links
    fi
    out=$(cd "$pod" && exec "$sbatch" "$@" "$root/$script" 2>"$err" </dev/null)
    code=$?
    if has_id; then
        store_job_id
    else
        keep_failure
    fi
}

# Sets id to that of the job, if sbatch has succeeded and printed it.
has_id() {
    id=$out
    case $id in
        *[!0-9]*) id=$(printf '%s\n' "$out" | id_of_sbatch) ;;
    esac
    [ "$code" -eq 0 ] && [ -n "$id" ] && return
    [ -z "$out" ] || printf '%s\n' "$out" >>"$err"
    return 1
}

keep_failure() {
    reply_messages <"$err"
    if is_unknown; then
        reply "attempted $pod"
    else
        store_failure "$marker" "$code"
        reply "failed $pod $code"
    fi
}

# Stores what sbatch printed: it is the outcome from then on.
store_failure() {  # FILE CODE
    { { printf '%s\n' "$2" && cat "$err"; } >"$incoming.failed" && mv -f "$incoming.failed" "$1"; } || rm -f "$incoming.failed"
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
    [ $# -le 1 ] || queued_id "$@"
    [ $# -ne 1 ] || echo "$1"
}

# Prints the id whose job runs the `script`, or else the only one in the queue: a wrapper may submit a copy.
queued_id() {
    queue=$(eval "TZ=UTC SLURM_TIME_FORMAT=%s timeout -k 5 20 $squeue" </dev/null 2>/dev/null)
    queued_ids=
    for each; do
        row=$(printf '%s\n' "$queue" | grep "^${each}[|_]" | head -n 1)
        case $row in
            '') continue ;;
            *"|$root/$script" | *"|$real_root/$script") queued_ids=$each && break ;;
        esac
        queued_ids="$queued_ids $each"
    done
    case $queued_ids in
        "" | " "*" "*) ;;
        *) echo "${queued_ids# }" ;;
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

# Reports the outcome of an attempt. A failure is reported until the attempt is withdrawn, since the reply may be lost.
reply_outcome() {
    find_attempt
    [ -e "$marker" ] || return
    if [ -z "$array" ]; then
        reply_failure "$marker"
    elif is_id "$holder"; then
        id=${holder}_$number
        store_job_id
    else
        reply_failure ".remote-slurm/arrays/$array/failed"
    fi
}

reply_failure() {  # FILE
    [ -s "$1" ] || return
    { read -r code && reply_messages; } <"$1"  # with the number of pods, if there were several
    reply "failed $pod $code"
}

store_job_id() {
    printf '%s\n' "$id" >"$pod/job.id"  # without its newline, an id is incomplete: the disk was full
    forget_again
    # the job in the fence is released, now or by the next poll
    if [ -n "$scontrol" ] && ! release_job >/dev/null 2>&1 && is_fenced_by_another; then
        "$scancel" "$id" </dev/null
        find_id
    fi
    # a delete that came meanwhile found no job in the queue
    [ -e "$claims/$pod.deleted" ] && "$scancel" "$id" </dev/null
    reply "submitted $pod $id"
}

forget_again() {
    is_fresh || [ ! -e "$pod/again" ] || rm -f "$pod/again"
}

# --- arrays ----------------------------------------------------------------------------------------------------------

# Version 0.2.0 reads an attempt that is not empty as a failure of sbatch, whose code is the first line. By these words it looks for
# the job, as after a lost reply. Otherwise it would report pods as failed that run, beside a newer sidecar or after a rollback.
for_older='
Unknown error: the pod is a task of a job array, which this version does not know'

# Submits pods as one array. Its script comes first, with all of them, so that the attempts and sbatch are close together; the
# tasks are the pods whose attempt was made.
submit_array() {  # NUMBER
    eval "members=\$members_$1 throttle=\$throttle_$1"
    ready=
    for pod in $members; do
        ! is_ready || ready="$ready $pod"
    done
    # shellcheck disable=SC2086 # names of pods
    if ! make_array "$1" $ready; then
        for pod in $ready; do
            submit_pod
        done
        return
    fi
    tasks='' taken='' task=0
    for pod in $ready; do
        ! mark_attempt "array ${folder##*/} $task$for_older" || tasks="$tasks,$task" taken="$taken $task:$pod"
        task=$((task + 1))
    done
    if [ -z "$taken" ]; then
        rm -rf "$folder"
    elif ! mark_call; then
        acted=yes  # another script has decided that sbatch is not called for this array, or no file can be created
        for each in $taken; do
            unknown_pods="$unknown_pods ${each#*:}"
        done
    else
        case $taken in
            *" "*" "*) call_sbatch_for_array ;;
            *) call_sbatch_for_one_task ;;
        esac
    fi
}

# From here on, sbatch may have been called for the array.
mark_call() {
    seen=
    ln -s sbatch "$folder/call" 2>/dev/null
}

# A job of its own for the only pod of the array whose attempt was made: its attempt is not one for the array any more.
call_sbatch_for_one_task() {
    pod=${taken#*:}
    find_attempt
    if true 2>/dev/null >"$marker"; then
        rm -rf "$folder"
        call_sbatch
    else
        unknown_pods="$unknown_pods $pod"
    fi
}

# Makes the folder of an array with its script. Returns 1 for fewer than two pods, and if it cannot be written.
make_array() {  # NUMBER POD...
    [ $# -gt 2 ] || return
    write_array "$@" && return
    rm -f "$incoming.array"
    return 1
}

write_array() {  # NUMBER POD...
    folder=.remote-slurm/arrays/${incoming##*.}-$1
    eval "head=\$head_$1 foot=\$foot_$1"
    shift
    {
        printf '%s' "$head"
        number=0
        for pod; do
            printf '    %s) pod=%s ;;\n' "$number" "$pod"
            number=$((number + 1))
        done
        printf '%s' "$foot"
    } 2>/dev/null >"$incoming.array" && mkdir -p .remote-slurm/arrays && mkdir "$folder" &&
        mv "$incoming.array" "$folder/job.sh" 2>/dev/null
}

call_sbatch_for_array() {
    acted=yes
    script=$folder/job.sh
    array=$root/$folder
    output=$array/%a.out
    case $array in
        *%*) output=$(printf '%s\n' "$array" | sed 's/%/%%/g')/%a.out ;;
    esac
    tasks=${tasks#,}
    set -- --parsable --array="$tasks${throttle:+%$throttle}" --output="$output" --chdir="$array"
    out=$(cd "$folder" && exec "$sbatch" "$@" "$root/$script" 2>"$err" </dev/null)
    code=$?
    if has_id; then
        store_task_ids
        return
    fi
    # shellcheck disable=SC2086 # split into tasks
    set -- $taken
    is_unknown || store_failure "$folder/failed" "$code $#"
    for each; do
        pod=${each#*:}
        reply_messages <"$err"
        if is_unknown; then
            reply "attempted $pod"
        else
            reply "failed $pod $code $#"
        fi
    done
}

store_task_ids() {
    if ! ln -s "$id" "$folder/fence" 2>/dev/null && [ "$(readlink "$folder/fence")" = void ]; then
        # sbatch took so long that the sidecar has given the array up
        "$scancel" "$id" </dev/null
        for each in $taken; do
            unknown_pods="$unknown_pods ${each#*:}"
        done
        return
    fi
    deleted=
    for each in $taken; do
        pod=${each#*:}
        task=${id}_${each%%:*}
        printf '%s\n' "$task" >"$pod/job.id"  # see store_job_id
        forget_again
        [ ! -e "$claims/$pod.deleted" ] || deleted="$deleted $task"
        reply "submitted $pod $task"
    done
    # shellcheck disable=SC2086 # ids of tasks
    [ -z "$deleted" ] || "$scancel" $deleted </dev/null
}

# --- images ----------------------------------------------------------------------------------------------------------

# If ImagePull is not node, a job is submitted after its images are pulled. See job/pull.sh.
lacks_images() {
    case " $pulling " in
        *" $pod "*) ;;
        *) ! is_fresh || return ;;
    esac
    [ -e "$pod/images.first" ] || return
    # the first line of that kind: others are words of the pod
    lib=$(sed -n '/^lib=/{s|^lib=\(\.\./\.remote-slurm/lib/[0-9a-f]*\)$|\1|p;q;}' "$pod/job.sh")
    output=$(/bin/sh "$pod/${lib:-.}/pull.sh" ask "$root/$pod" </dev/null 2>/dev/null)
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
    if is_fresh; then
        marker=$claims/$pod.attempt
    else
        find_attempt
    fi
    set -C
    true >"$marker"
    code=$?
    set +C
    return "$code"
}

# Another attempt came first; or no file can be created, and then sbatch was not called.
reply_without_attempt() {
    if [ -e "$marker" ]; then
        unknown_pods="$unknown_pods $pod"
    else
        [ -d "$claims" ] || make_root
        reply "short $pod"
    fi
}

submit_pod() {
    is_ready && mark_attempt && call_sbatch
}

# Whether sbatch can be called for the pod now. Otherwise there is a reply, or will be one.
is_ready() {
    now
    if ! is_fresh && was_tried; then
        :
    elif [ "$uptime" -ge "$until" ]; then
        true 2>/dev/null >"$pod/again"  # a sidecar that starts later continues with it
        reply "stored $pod"
    elif ! true 2>/dev/null >"$err"; then
        # a full home: the shell would not call sbatch, which must not be reported as a failure of sbatch
        reply "short $pod"
    elif lacks_images; then
        :
    else
        return 0
    fi
    return 1
}

# Whether the pod has a job, an attempt or a tombstone, or no files.
was_tried() {
    reply_if_known && return
    find_attempt
    if [ -e "$marker" ]; then
        reply_outcome || unknown_pods="$unknown_pods $pod"
    elif [ -e "$pod/again" ] && superseded; then
        : # only the owner submits a pod again, since it may be about to withdraw the attempt before
    elif [ ! -e "$pod/job.sh" ]; then
        reply "short $pod"
    else
        return 1
    fi
}

# Makes the attempt. Returns 1 if sbatch must not be called, after a reply.
mark_attempt() {  # [TEXT]
    if ! attempt 2>/dev/null; then
        reply_without_attempt
    elif [ -e "$claims/$pod.deleted" ]; then
        # the delete is over, so that only this script can remove what arrived after it
        rm -rf -- "./$pod" && rm -f "$claims/$pod.attempt" "$marker"
        reply "deleted $pod"
    elif [ -n "$1" ] && ! printf '%s\n' "$1" 2>/dev/null >"$marker"; then
        rm -f "$marker"
        reply "short $pod"
    else
        return 0
    fi
    return 1
}

# Waits for other scripts that have called sbatch for the same pods.
wait_for_other_scripts() {
    while [ -n "$unknown_pods" ]; do
        waiting=$unknown_pods
        unknown_pods=
        seen=
        for pod in $waiting; do
            reply_if_known || reply_outcome || unknown_pods="$unknown_pods $pod"
        done
        [ -n "$unknown_pods" ] && [ "$wait_seconds" -gt 0 ] || break
        sleep 1
        wait_seconds=$((wait_seconds - 1))
    done
    for pod in $unknown_pods; do
        void_call
        reply "attempted $pod"
    done
}

# If the script that made the attempt has been killed before it called sbatch for the array, it never will: the next call of
# this script submits the pods.
void_call() {
    find_attempt
    [ -n "$array" ] && [ -e "$marker" ] && [ -z "$call$holder" ] || return
    ln -s void ".remote-slurm/arrays/$array/call" 2>/dev/null
    acted=yes
    seen=
}

submit() {
    enter_root || return
    now
    until=$((uptime + seconds))
    unknown_pods=
    acted=
    fresh=
    make_err
    if lacks_files; then
        acted=yes
        notify_owner
        unpack
    fi
    if lacks_libraries; then
        reply_unstored
        return
    fi
    for array_number in $arrays; do
        submit_array "$array_number"
    done
    for pod in $alone; do
        submit_pod
    done
    wait_for_other_scripts
}

# Sets err to the file for the messages of sbatch: outside of the site's file system if it can be. Every user of the login node
# can make a file in /tmp, which needs the sticky bit therefore; the file is new.
make_err() {
    err=/tmp/remote-slurm-submit-${incoming##*.}
    set -C
    # shellcheck disable=SC3065 # a shell without -k makes the other file
    { [ -k /tmp ] && printf '\n' >"$err"; } 2>/dev/null || err=$root/$incoming.err
    set +C
}

remove_incoming() {
    rm -f "$err"
    [ -z "$own" ] || rm -rf "$own"
    [ -z "$unpacked" ] || rmdir "$incoming" 2>/dev/null || rm -rf "$incoming"
}

unpacked='' own=''
submit
[ -z "$acted" ] || notify_owner
remove_incoming
