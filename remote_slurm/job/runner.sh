#!/bin/bash
# Starts a pod's containers inside its Slurm job, and records what becomes of each. job.sh sources this file in the
# pod's folder and then says what to run, one call after another:
#
#   pod NAME grace=SECONDS          create the fence of the pod; a second job of the pod exits here
#   scratch, host_path, images, ... what containers need of the node: each is explained where it is defined
#   init_container NAME COMMAND...  run to its end before anything else goes on
#   container NAME COMMAND...       start beside the others
#   finish                          wait for all; the job's exit code is the highest
#
# Names such as grace= are labels: arguments are positional. `log_limit` is the size of a log in bytes at which it is cut.
# What applies to one container only comes right before it. The parts that this job needs are at the end of this file.
# Further comments are in remote_slurm/job/ of the source.
#
# Written for bash 4.2 and coreutils, which is what old compute nodes have: no `wait -n`, no flock.

umask 077
# CommandPrefix may have changed what this file relies on
set +efuC +o posix
shopt -u failglob nullglob nocasematch
IFS=$' \t\n'

# Files that the site's prologs or CommandPrefix left open: container runtimes pass them on, and a folder that is open
# leads a container out of its root. 255 is the script, which bash closes by itself.
for descriptor in "/proc/$BASHPID/fd/"*; do
    descriptor=${descriptor##*/}
    [[ $descriptor != *[!0-9]* ]] && ((descriptor > 2 && descriptor != 255)) && exec {descriptor}>&-
done

say() {
    printf 'remote-slurm: %s\n' "$*"
}

now() {
    printf '%(%s)T' -1
}

# --- one pod, one job ------------------------------------------------------------------------------------------------

# Slurm may have accepted a submission that it reported as failed, and two sidecars may overlap. The first job to make
# the link has the pod: making a link is exclusive on every file system, unlike seeing whether it is there.
pod() {
    set +e  # bash 4.2 sets it again at the end of this file, as it was before
    pod=$1
    grace=${2#grace=}
    job_id=$SLURM_JOB_ID
    # a task of a job array, as squeue shows it
    [[ -z ${SLURM_ARRAY_JOB_ID-} || -z ${SLURM_ARRAY_TASK_ID-} ]] || job_id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    # programs in containers would take themselves for a part of the array's work
    unset -v "${!SLURM_ARRAY_@}"
    end_if_deleted
    create_fence
    # a delete that came between the two checks has seen no fence
    end_if_deleted
    forget_submitted_id
    mkdir -p logs records
    # recall_earlier_run reads them
    [[ -z ${SLURM_RESTART_COUNT-} ]] || { mkdir -p .earlier && mv -f records/* .earlier/; } 2>/dev/null
    rm -rf records/* .runner .reserve .stopping .evicted .job-script-ended  # of a run before Slurm requeued the job
    make_runner_folder
    remove_dead_jobs
    reserve_disk
    began=$(now)
    trap_signals
}

create_fence() {
    local fence=$control/claims/$pod.job failure holder
    failure=$(ln -s "$job_id" "$fence" 2>&1)
    holder=$(readlink "$fence")
    case $holder in
        "$job_id") return ;;
        '') say "the fence of this pod cannot be created, so job $job_id starts nothing: ${failure#ln: }" ;;
        void) say "this pod was given up before its job appeared in Slurm; job $job_id starts nothing" ;;
        deleted*) say "this pod was deleted; job $job_id starts nothing" ;;
        *) say "this pod belongs to job $holder; job $job_id starts nothing" ;;
    esac
    exit 1
}

# Files that processes of the job share are in .runner. File systems of sites count files, so that jobs that need none have no such
# folder.
make_runner_folder() {
    local function
    for function in run_action sidecar_container allow_exec; do
        ! declare -F "$function" >/dev/null || mkdir -p .runner
    done
}

# The fence has the id now. Another one that sbatch printed is kept: it finds a second job of the pod.
forget_submitted_id() {
    local id=''
    read -r id 2>/dev/null <job.id
    [[ $id != "$job_id" ]] || rm -f job.id
} 2>/dev/null

# Room for the last records and for a stop, should the pod fill its file system. One file, since the site's file system may count
# them.
reserve_disk() {
    head -c 65536 /dev/urandom >.reserve
}

# with_reserve FUNCTION WORD...: if it fails, again with what was put aside, and then without the times of log lines, which
# take room as well.
with_reserve() {
    "$@" && return
    out_of_room=yes
    rm -f .reserve
    "$@" && return
    rm -f logs/.*.sizes
    without_times "$@"
}

without_times() {  # FUNCTION WORD...
    drop_times=yes
    "$@" && drop_times='' && return
    drop_times=''
    return 1
}

trap_signals() {
    trap terminate TERM INT
    trap clean_up EXIT
}

end_if_deleted() {
    if [[ -e $control/claims/$pod.deleted ]]; then
        say "this pod was deleted; job $job_id starts nothing"
        exit 1
    fi
}

# --- records ---------------------------------------------------------------------------------------------------------

# record NAME waiting|running|terminated STARTED FINISHED EXIT_CODE SIGNAL REASON [MESSAGE]
#
# Times are in seconds since 1970, and 0 is none: a container that ended and never started has STARTED 0. REASON is a code
# for why it waits or how it ended, a word of letters; domain/records.py lists the codes and decides by them. It is empty
# for a container that runs, and for one that something else than the runner killed. MESSAGE is only shown.
#
# The record is one line, and build_record alone writes it:
#
#   v1 POD NAME PHASE STARTED FINISHED EXIT_CODE SIGNAL[ run=N] record=N restarts=N[ reason=REASON][ last=LAST] MESSAGE<tab>LAST_MESSAGE[<tab>USAGE<tab>NODE]
#
# If Slurm has requeued the job, run=N says how often, to distinguish records of earlier runs. Records are numbered, since a
# reader may see them in any order. LAST is how the run before ended: STARTED,FINISHED,EXIT_CODE,SIGNAL. USAGE, of usage.sh, is in
# the record of an end, and empty in others. NODE is Slurm's name of the node: squeue forgets it minutes after the end. Both are
# last, where the version before does not look. The record in the pod's folder is kept, and read_record reads it; the next poll
# removes the one in the spool. Behind the record in the pod's folder are the times of log lines: see note_size.
record() {
    recording=yes  # a trap in between would write a later record first, and make this one fail
    number=$((number + 1))
    with_reserve write_record "$@"
    recording=
    [[ -z $pending_result ]] || handle_result
}

write_record() {
    local message=${8-}
    if [[ -n $out_of_room && "$2 $3" != 'terminated 0' ]]; then
        message="the file system of the pod's folder is full (no space, or no quota)${message:+; $message}"
    fi
    build_record "${@:1:7}" "$message"
    add_usage_and_node "$2"
    put "v1 $pod $line" records "$1" && put_in_spool "v1 $pod $line" "$1"
}

# The site may have purged the empty spool. The next poll makes one as well.
put_in_spool() {  # LINE NAME
    put "$1" "$control/spool" "$pod.$2" && return
    [[ ! -d $control/spool ]] && mkdir -p "$control/spool" && put "$1" "$control/spool" "$pod.$2"
} 2>/dev/null

add_usage_and_node() {  # PHASE
    local usage=''
    [[ $1 != terminated || -z $records_usage ]] || measure_usage
    [[ ! ${SLURMD_NODENAME-} =~ ^[A-Za-z0-9._-]+$ ]] || usage+=$'\t'$SLURMD_NODENAME
    [[ -z $usage ]] || line+=$'\t'$usage
}

# Sets `line`, the record without its first two words, and `head`, the part of `line` before the message.
build_record() {
    head="${*:1:6}${SLURM_RESTART_COUNT:+ run=$SLURM_RESTART_COUNT} record=$number restarts=$restarts"
    head+="${7:+ reason=$7}${last:+ last=$last}"
    escape "$8"
    line="$head $escaped"
    escape "$last_message"
    line+=$'\t'$escaped
}

# Sets `escaped`: no command substitution, since it runs in traps as well, where bash 5.2 may not be able to read one. With
# `=` escaped, no word of a message is a field of the record.
escape() {
    escaped=${1//\\/\\\\}
    escaped=${escaped//$'\n'/\\n}
    escaped=${escaped//$'\t'/\\t}
    escaped=${escaped//=/\\=}
}

# What comes before the message: PHASE STARTED FINISHED EXIT_CODE SIGNAL, record, restarts, reason and last are in the groups
# 1 to 5, 7, 8, 10 and 12.
record_head='^v1 [^ ]+ [^ ]+ ([a-z]+) ([0-9]+) ([0-9]+) ([0-9]+) ([0-9]+)( run=[0-9]+)? record=([0-9]+) restarts=([0-9]+)'
record_head+='( reason=([A-Za-z]+))?( last=([0-9]+,[0-9]+,[0-9]+,[0-9]+))? '

# read_record FOLDER NAME: sets `state` to PHASE STARTED FINISHED EXIT_CODE SIGNAL REASON MESSAGE of the last record that
# FOLDER has of the container, and number, restarts, last and last_message. Fails if there is none.
read_record() {
    local line
    state=()
    { IFS= read -r line <"$1/$2"; } 2>/dev/null && [[ $line =~ $record_head ]] || return
    state=("${BASH_REMATCH[@]:1:5}" "${BASH_REMATCH[10]}")
    number=${BASH_REMATCH[7]} restarts=${BASH_REMATCH[8]} last=${BASH_REMATCH[12]}
    line=${line#"${BASH_REMATCH[0]}"}
    unescape "${line%%$'\t'*}"
    state+=("$unescaped")
    line=${line#*$'\t'}
    unescape "${line%%$'\t'*}"
    last_message=$unescaped
}

# Sets `unescaped`, from what `escape` has made.
unescape() {
    local rest=$1
    unescaped=''
    while [[ $rest == *\\* ]]; do
        unescaped+=${rest%%\\*}
        rest=${rest#*\\}
        case $rest in
            n*) unescaped+=$'\n' ;;
            t*) unescaped+=$'\t' ;;
            *) unescaped+=${rest:0:1} ;;
        esac
        rest=${rest:1}
    done
    unescaped+=$rest
}

# Whether the container of `state` has run in this run of the job, as domain/records.py says it: one that waits has if it
# is only not ready, or waits for its restart.
has_run() {
    case ${state[0]} in
        waiting) [[ ${state[5]} == NotReady || ${state[5]} == CrashLoopBackOff ]] ;;
        *) ((state[1])) ;;
    esac
}

# A reader never sees half a record: it is written under a hidden name first. In a trap, `return` alone would return the exit
# code of the command before the trap.
put() {  # LINE FOLDER NAME
    { write_lines "$@" >"$2/.$3.$BASHPID" && mv -f "$2/.$3.$BASHPID" "$2/$3"; } 2>/dev/null && return 0
    rm -f "$2/.$3.$BASHPID"
    # without another block and another file: over the record before, of which lines behind the first one may stay
    [[ -n $out_of_room && -s $2/$3 ]] && printf '%s\n' "$1" 2>/dev/null 1<>"$2/$3"
}

write_lines() {  # LINE FOLDER NAME
    printf '%s\n' "$1" || return
    [[ $2 != records || -n $drop_times ]] || ! has_times "$2/$3" || tail -n +2 "$2/$3"
}

# Whether there are lines behind the record.
has_times() {  # FILE
    { read -r _ && read -r _; } 2>/dev/null <"$1"
}

# record_waiting REASON MESSAGE NAME...: these containers have not started, and why. The record has the number 0, so that each
# later one replaces it.
record_waiting() {
    local word=$1 message=$2 name time
    time=$(now)
    shift 2
    for name; do
        recall_earlier_run "$name"
        number=-1 record "$name" waiting "$time" 0 0 0 "$word" "$message"
    done
    forget_run
}

# --- where Slurm has requeued the job ---------------------------------------------------------------------------------

# The restart count goes on, and the end of the last run is recorded as after a restart within the job. Until then,
# run_before_requeue in domain/records.py says the same.
recall_earlier_run() {
    local state
    forget_run
    read_record .earlier "$1" || return 0
    number=0
    case ${state[0]} in
        running) ;;
        waiting) [[ ${state[5]} == NotReady ]] || return 0 ;;
        terminated)
            ((state[1])) || return 0
            last=${state[1]},${state[2]},${state[3]},${state[4]} last_message=${state[6]}
            [[ ${state[5]} != JobStopped ]] || last_message+=': Slurm has requeued the job'
            return
            ;;
    esac
    last=${state[1]},0,137,9 last_message='how it ended was not recorded'
}

forget_run() {
    number=0 restarts=0 last='' last_message=''
}

# fail REASON SENTENCE: no further container may start
fail() {
    failed_reason=$1 failed=$2
}

# --- containers ------------------------------------------------------------------------------------------------------

init_container() {
    [[ $policy == Always ]] && policy=OnFailure  # it has to succeed once
    start "$@"
    await_containers
    if ((worst != 0)) && [[ -z $failed ]]; then
        fail_without_image "$1" || fail NotStarted "init container $1 ended with exit code $worst"
    fi
}

container() {
    local hooked=''
    has_post_start && hooked=yes
    start "$@"
    [[ -z $hooked ]] || await_post_start "$1"
}

start() {
    local time
    recall_earlier_run "$1"
    [[ -n $failed ]] || unpack_image
    if [[ -n $failed ]]; then
        time=$(now)
        say "container $1 is not started: $failed"
        record "$1" terminated 0 "$time" 1 0 "${failed_reason:-NotStarted}" "not started: $failed"
    else
        supervise "$@" &
        names+=("$1")
        supervisors+=("$!")
        # a stop that came just now has not seen it
        [[ -n $failed ]] && kill -TERM "$!" 2>/dev/null
    fi
    forget_run
    reset_container_settings
}

# --- logs ------------------------------------------------------------------------------------------------------------

# With the times of its lines, which may be those of the run before Slurm requeued the job.
keep_previous_log() {
    local record=records/$1
    [[ -e logs/$1.log ]] || return
    mv -f "logs/$1.log" "logs/$1.previous.log"
    [[ $number != 0 ]] || record=.earlier/$1
    ! has_times "$record" || tail -n +2 "$record" 2>/dev/null >"logs/.$1.previous.sizes"
    forget_times "$1"
}

forget_times() {  # NAME
    local line
    has_times "records/$1" && IFS= read -r line <"records/$1" || return 0
    without_times put "$line" records "$1"
}

# The output of a container is a pipe, as under a kubelet, and a log writer appends what it reads from the pipe to the log
# file. If the output were the log file, a container that opens /dev/stderr would truncate the log.

# Sets log_input, log_output and log_writer. An anonymous pipe needs no file, so that no container can open it by a path, and
# a full file system does not prevent it. Bash makes one only for a process substitution, which ends at once.
open_log_pipe() {  # NAME
    # `log_output` opens the pipe before the container starts: a pipe without a reader ends its writers by SIGPIPE
    if [[ -e /dev/fd/0 ]]; then
        exec {log_input}> >(:)
        exec {log_output}<"/proc/self/fd/$log_input"
    else
        mkdir -p .runner
        open_log_fifo ".runner/$1.log-pipe"
    fi
    write_log "$1" <&"$log_output" {log_input}>&- {log_output}<&- &
    log_writer=$!
    disown "$log_writer"
}

# On a node without /dev/fd, bash cannot make the other kind.
open_log_fifo() {
    local both
    # shellcheck disable=SC2094 # both ends of one pipe
    mkfifo "$1" && exec {both}<>"$1" {log_input}>"$1" {log_output}<"$1" {both}>&-
    rm -f "$1"
}

close_log_pipe() {
    exec {log_input}>&- {log_output}<&-
}

# `scancel --full` signals every process of the job, and what a container prints after that is logged as well. If the file
# system is full, `cat` fails and what it has read is dropped: without a reader, the container would end by SIGPIPE.
write_log() {
    trap '' HUP INT QUIT USR1 USR2 ALRM TERM
    exec 2>/dev/null
    exec >>"logs/$1.log" || exec >/dev/null
    until cat; do
        :
    done
}

# Wait until the log file has all that the container has printed. A process that has left the container's process group may
# still hold the pipe: its log writer goes on until the job ends.
await_log_writer() {
    local tries
    for ((tries = 0; tries < 20; tries++)); do
        kill -0 "$log_writer" 2>/dev/null || return 0
        sleep "${pauses[tries < 4 ? tries : 4]}"
    done
    mkdir -p .runner && printf '%s %s\n' "$log_writer" "$(start_of "$log_writer")" >>.runner/log_writers
} 2>/dev/null

end_log_writers() {
    local writer start
    while read -r writer start; do
        [[ $start == "$(start_of "$writer")" ]] && kill -KILL -- "-$writer"
    done <.runner/log_writers
} 2>/dev/null

# The log contains only what the container prints. The size of the log at each second gives the time of a line: it is behind the
# record of the container, since the site's file system may count files. Versions before wrote it to logs/.NAME.sizes, as this one
# does for the run before the present one.
watch_log() {
    trap '' TERM
    [[ ! -e /dev/fd/0 ]] || open_silence
    while pause_in_silence 1; do
        has_grown && note_size "$1"
    done
}

# The position in the log at which its writer is, as the kernel shows it, changes with each line. To read it takes neither a
# process nor an operation of the file system.
has_grown() {
    local key position
    while read -r key position; do
        [[ $key == pos: ]] || continue
        [[ $position != "$log_position" ]] || return
        log_position=$position
        return 0
    done <"/proc/$log_writer/fdinfo/1"
    return 1  # the writer has ended: what comes after the container notes the size
} 2>/dev/null

note_size() {
    local log=logs/$1.log size time
    size=$(stat -c %s "$log") && [[ $size != "${noted:-0}" ]] || return
    noted=$size
    printf -v time '%(%s)T' -1
    add_time "$1" "$time $size"
    ((size > log_limit)) && cut_log "$1" "$size"
} 2>/dev/null

# A line that is added while another process replaces the record is lost. The last one is not: then no other process does.
add_time() {  # NAME LINE
    [[ ! -e records/$1 ]] || printf '%s\n' "$2" >>"records/$1"
}

# What the watcher of the log, another process, has noted.
read_noted_size() {
    noted=''
    has_times "records/$1" && noted=$(tail -n 1 "records/$1") && noted=${noted#* }
}

# The container appends to its log, so that it goes on at the beginning of what is empty. The times before do not count any more.
cut_log() {
    add_time "$1" '0 0'
    : >"logs/$1.log"
    printf '(remote-slurm: %s bytes stood here; the log passed MaxLogSize, %s bytes, and begins anew)\n' \
        "$2" "$log_limit" >>"logs/$1.log"
}

# --- waiting ---------------------------------------------------------------------------------------------------------

# A pod may run for days, and jobs that compute are disturbed by each process that starts beside them. Bash waits without one: for
# a line of a pipe. The shell that has traps waits without a time limit, since bash may leave a trap in the middle when the time
# limit of `read` ends; another one, without traps, writes a line a few times a second, and then each second.
open_ticks() {  # PID
    [[ -n $ticks || ! -e /dev/fd/0 ]] || exec {ticks}< <(write_ticks "$1")
}

close_ticks() {
    [[ -z $ticks ]] || exec {ticks}<&-
    ticks=''
}

write_ticks() {  # PID
    local written=0 seconds
    trap '' HUP INT QUIT TERM USR1 USR2
    open_silence
    while kill -0 "$1"; do
        seconds=1
        ((written < 45)) && seconds=0.4
        ((written < 25)) && seconds=0.12
        pause_in_silence "$seconds"
        printf '\n'
        written=$((written + 1))
    done
} 2>/dev/null

# Opens a pipe that nothing is written to. Not for a shell with traps.
open_silence() {
    local input
    exec {input}> >(:)
    exec {silence}<>"/proc/self/fd/$input" {input}>&-
}

pause_in_silence() {  # SECONDS
    if [[ -n $silence ]]; then
        read -r -t "$1" -u "$silence"
    else
        sleep "$1"
    fi
    return 0
}

# The first checks are processes, since most ends come soon or never: for a quarter of a second, and for three after a signal.
pause_before_check() {  # CHECKS_BEFORE MOST_PROCESSES PID
    if (($1 < $2)); then
        sleep "${pauses[$1 < 4 ? $1 : 4]}"
        return
    fi
    open_ticks "$3"
    [[ -n $ticks ]] && read -r -u "$ticks" && return
    sleep 1 &
    wait "$!"
}

# await PID: sets `code`. bash may forget the end of a process of which `wait` learns together with a signal that has a trap,
# and would then wait for it for ever (5.2: waitchld in jobs.c). Anywhere else it notes that end by itself, so that `wait` is
# asked when there is nothing to wait for any more, and asked twice, since what it says may be of a signal that came before.
await() {
    local tries=0 processes=5 previous=''
    interrupted=''
    while kill -0 "$1" 2>/dev/null; do
        pause_before_check "$((tries++))" "$processes" "$1"
        [[ -z $interrupted ]] || tries=0 processes=30 interrupted=''
    done
    close_ticks
    interrupted=yes
    code=''
    while [[ -n $interrupted || $code != "$previous" ]]; do
        interrupted=''
        previous=$code
        wait "$1"
        code=$?
    done
}

pause() {
    (($1 > 0)) || return
    sleep "$1" &
    wait "$!"
}

await_containers() {
    local index
    for index in "${!supervisors[@]}"; do
        await "${supervisors[index]}"
        ((code > worst)) && worst=$code
        record_missing_end "${names[index]}"
    done
    names=()
    supervisors=()
}

# A supervisor that was killed itself, by the kernel or by a stop that came before it could listen, has recorded no end.
record_missing_end() {
    local state signal=0 time began reason=$failed_reason
    time=$(now) began=$time
    if read_record records "$1"; then
        began=0
        ! has_run || began=${state[1]}
    fi
    if [[ ${state[0]-} != terminated ]]; then
        ((code > 128)) && signal=$((code - 128))
        [[ -n $reason || $signal == 9 ]] || reason=Error
        record "$1" terminated "$began" "$time" "$code" "$signal" "$reason" "${failed:-the process that watched it was killed}"
    fi
    forget_run
}

terminate() {
    interrupted=yes
    local running why why_reason
    with_reserve write_stop
    why_stopped
    fail "$why_reason" "$why"
    for running in "${supervisors[@]}" $puller; do
        ! is_child "$running" || kill -TERM "$running" 2>/dev/null
    done
}

write_stop() {
    printf '%(%s)T\n' -1 >.stopping
} 2>/dev/null

# Whether a process belongs to this shell: the id of one that has ended may belong to another process. No command
# substitution, since it runs in traps.
is_child() {
    local stat
    read -r stat <"/proc/$1/stat" || return
    stat=${stat##*) ? }
    [[ ${stat%% *} == "$$" ]]
} 2>/dev/null

finish() {
    await_containers
    end_sidecars
    [[ -n $failed ]] && ((worst == 0)) && worst=1
    [[ -z $local_root ]] || await_log_fetch
    exit "$worst"
}

# --- the container runtime --------------------------------------------------------------------------------------------

# runtime_hook NAME WORD...: calls the function of this name of the runtime. Fails if it has none.
#
#   is_log_line "CODE LINE"     whether the runtime itself prints such a line, when it ends with this exit code
#   is_start_error "CODE LINE"  whether this last line says that it could not start the container
#   read_image_config IMAGE PROGRAM...   sets image_env, image_dir, image_volumes, image_stop, image_program and image_read
#   apply_image_config          gives these to the container
#   adjust_command WORD...      may change `words`, which start the container
#   lacks_working_dir MESSAGE   whether it could not start the container without its workingDir
#   mount_working_dir FOLDER PATH   mounts FOLDER there, from the next run on
#   is_own_program NAME         whether a process of this program is the runtime's, and not the container's
#   is_running CONTAINER        whether the container has been started
#   end_container CONTAINER     ends what outlives the runtime's process
#   pass_variable NAME VALUE    gives a variable to all containers
#   start_ipc_keeper PROGRAM... starts a process in a new IPC namespace that containers can enter, and sets `keeper`
#   use_ipc KEEPER              sets `ipc_option`, by which containers enter the namespace of this process
#   close                       removes what it has on the node, when the job ends
runtime_hook() {
    declare -F -- "${runtime}_$1" >/dev/null && "${runtime}_$1" "${@:2}"
}

# --- what parts replace ----------------------------------------------------------------------------------------------

# A job has only the parts whose functions it calls. Without a part, the runner does this in its place.

# messages.sh
begin_message() { :; }
read_message() { message=; }
# missing_volumes.sh
log_missing_volumes() { :; }
add_missing_volumes_to_message() { :; }
# recheck_mounts.sh
recheck_mounts() { :; }
# images.sh
await_image() { :; }
# from_image.sh
unpack_image() { :; }
# image_config.sh
apply_image_config() { :; }
# working_dirs.sh
lacks_working_dir() { false; }
empty_working_dir() { :; }
# restarts.sh
is_restarted() { false; }
# sidecars.sh
end_sidecars() { :; }
# exec.sh
write_exec_state() { :; }
remove_exec_state() { :; }
# hooks.sh
has_post_start() { false; }
start_watchers() { mark_started; }
end_watchers() { :; }
record_first_state() { record_state ready; }
handle_result() { :; }
is_near_time_limit() { false; }
# annotations.sh
is_past_deadline() { false; }
