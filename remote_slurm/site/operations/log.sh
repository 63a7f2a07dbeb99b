# shellcheck shell=sh
# shellcheck disable=SC2016,SC2154 # awk's own variables; values are set in front of this text
# Prints the log of one container. Only the requested bytes are sent, however long the log is. Values, of which an empty one sets
# no limit, and means no:
#   pod, container    the pod's folder, and the container in it
#   lines             only so many last lines
#   tail_bytes        these lines are within so many last bytes
#   since             only lines since that time, in seconds since 1970
#   bytes             only so many first bytes of what the other limits leave
#   offset            only bytes from this one on
#   run               only the log of this run of the container, R.N as in the reply `run`
#   previous          the log of the run before the last restart
#   notes             reply `noted` is wanted
#   follow            go on as the log grows
#   over              the pod has ended: nothing of it starts any more
#   node_local        the log is on a node until it is fetched (SHARED_FS: false)
# Replies:
#   >noted TIME SIZE  the length of the log at that time, as the runner noted it; if `notes` is set
#   >run R.N          the run that wrote the log. With `run`, the log of that run is sent, also if it is the previous log by now
#   >ended LENGTH     if `follow` is set and the container has ended: the length of its log
#   >begun            on standard error: the log is open
#   >log START        the bytes from START on come next, raw
#   >waiting          the container has not started
#   >noprevious       it has no run before this one
#   >nofolder         the pod has no folder
#   >stayed           the log stayed on a node without a shared file system, and was not fetched before the job ended
# Following ends with the container. If the reader disconnects, the session ends this script. An exit code other than 0
# means that the log could not be read to its end. After `>log`, only bytes of the log are printed.

# Sets run_key, which run of the container its record describes (requeues and restarts), and run_over, if that run has
# ended. The fields of a record have a fixed order, which job/runner.sh defines: what comes after them is a message.
read_record() {
    run_key='' run_over=''
    read -r run_key run_over <<EOF
$(awk 'NR == 1 {
    i = 9
    if ($i ~ /^run=[0-9]+$/) { run = substr($i, 5); i++ }
    if ($i ~ /^record=[0-9]+$/) i++
    if ($i ~ /^restarts=[0-9]+$/) { restarts = substr($i, 10); i++ }
    over = $4 == "terminated" || $i == "reason=CrashLoopBackOff"
    print (run + 0) "." (restarts + 0), (over ? "over" : "")
    exit
}' "$pod/records/$container" 2>/dev/null)
EOF
}

# Whether nothing more is written to the log that is read. A log is that of one run: the next one has another file.
ended() {
    [ -n "$over" ] || [ ! -d "$pod" ] && return
    read_record
    : "${followed_run:=$run_key}"
    [ -n "$run_over" ] || { [ -n "$run_key" ] && [ "$run_key" != "$followed_run" ]; }
}

# Whether the record's run comes right after `run`, so that the log of `run` is the previous one.
is_next_run() {
    [ "$run_key" = "${run%.*}.$((${run#*.} + 1))" ] || [ "$run_key" = "$((${run%.*} + 1)).${run#*.}" ]
}

# For awk: only lines TIME SIZE, at which time the log had this size. They are behind the record of the container, or in a file of
# their own: of the run before, and of jobs that version 0.2.0 has submitted. After `0 0`, the log has begun anew.
only_times='!/^[0-9]+ [0-9]+$/ { next }'

# Sets log and sizes. If the container never started, the log is what Slurm and the runner printed.
choose_log() {
    read_record
    followed_run=${run:-$run_key}
    if [ -n "$run" ] && [ -n "$run_key" ] && [ "$run_key" != "$run" ]; then
        previous=yes
        if ! is_next_run; then
            reply noprevious
            return 1
        fi
    fi
    log=$pod/logs/$container.log
    sizes=$pod/logs/.$container.sizes
    [ -e "$sizes" ] || sizes=$pod/records/$container
    if [ -n "$previous" ]; then
        log=$pod/logs/$container.previous.log
        sizes=$pod/logs/.$container.previous.sizes
        [ -e "$log" ] || reply noprevious
    elif [ ! -e "$log" ]; then
        sizes=/dev/null
        if ! ended; then
            reply waiting
            return 1
        fi
        if [ -n "$node_local" ] && [ ! -e "$pod/fetched" ]; then
            reply stayed
            return 1
        fi
        for log in "$pod"/job-*.out; do
            [ -e "$log" ] && return
        done
        find_output_of_task || log=/dev/null
    fi
    [ -e "$log" ]
}

# Sets log to what Slurm printed of a task that did not come as far as the folder of its pod: see domain/plan/job_array.py.
find_output_of_task() {
    for script in .remote-slurm/arrays/*/job.sh; do
        number=$(grep -F " pod=$pod ;;" "$script" 2>/dev/null) || continue
        number=${number%%[)]*}
        log=${script%/*}/$((number)).out
        [ ! -e "$log" ] || return 0
    done
    return 1
}

# The length of a log that has ended: what the runner noted, since a shared file system may show less for a while.
final_length() {
    noted=$(awk "$only_times"'{ size = $2 } END { print size + 0 }' "$sizes" 2>/dev/null)
    length=$(size)
    echo "$((${noted:-0} > length ? noted : length))"
}

size() {
    wc -c <"$log"
}

# Prints where the last lines begin; the log may grow while they are counted
start_of_lines() {
    before=-1
    after=$(size)
    while [ "$before" != "$after" ]; do
        before=$after
        count=$(last_lines | wc -c)
        after=$(size)
    done
    echo $((after - count))
}

# A program that draws its progress may print one line for hours: only its end is read then.
last_lines() {
    if [ -n "$tail_bytes" ]; then
        tail -c "$tail_bytes" -- "$log" | tail -n "$lines"
    else
        tail -n "$lines" -- "$log"
    fi
}

# Prints the length of the log before `since`, moved back to the beginning of its line
start_of_time() {
    [ -e "$sizes" ] || { echo 0; return; }
    start=$(awk -v since="$since" "$only_times"'$1 < since { size = $2 } END { print size + 0 }' "$sizes")
    from=$((start > 65536 ? start - 65536 : 0))
    if [ "$(slice | tail -c 1 | wc -l)" -eq 0 ] && [ "$start" -gt 0 ]; then
        start=$((start - $(slice | tail -n 1 | wc -c)))
    fi
    echo "$start"
}

slice() {
    tail -c +$((from + 1)) -- "$log" | head -c $((start - from))
}

start_of_log() {
    first=${offset:-0}
    for other in ${lines:+"$(start_of_lines)"} ${since:+"$(start_of_time)"}; do
        [ "$other" -gt "$first" ] && first=$other
    done
    echo "$first"
}

# Whether the log was truncated since `offset` was read (MaxLogSize): then all of the log is new.
was_truncated() {
    [ -n "$follow" ] && [ "${offset:-0}" -gt "$(final_length)" ] &&
        head -c 100 -- "$log" | head -n 1 | grep -q '^(remote-slurm: [0-9]* bytes stood here'
}

send_notes() {
    [ -n "$notes" ] && [ -e "$sizes" ] || return
    awk -v start="$1" "$only_times"'$2 > start { print ">noted " $1 " " $2 }' "$sizes"
}

head_bytes() {
    if [ -n "$bytes" ]; then
        head -c "$bytes"
    else
        cat
    fi
}

# dd only sets the position, and the next command reads from there: tail would copy the whole log through a pipe.
from_byte() {
    [ "$1" -eq 0 ] || dd bs=1 skip="$1" count=0 2>/dev/null
    head_bytes
}

# GNU tail ends after the process of --pid has ended and the rest is read. Without inotify (NFS, overlays) it polls ten
# times a second, which takes less CPU than the watcher does.
follow_from() {
    if ! tail -n 0 --pid=$$ /dev/null >/dev/null 2>&1; then
        follow_by_size "$1" | head_bytes
        return
    fi
    { until ended; do sleep 1; done; } >/dev/null 2>&1 &
    watcher=$!
    tail -c +$(($1 + 1)) --pid="$watcher" -s 0.1 -f -- "$log" 2>/dev/null | head_bytes
    kill "$watcher" 2>/dev/null
}

# For a tail without --pid: BusyBox, toybox, BSD.
follow_by_size() {
    from=$1
    is_over=
    while [ -z "$is_over" ]; do
        ended && is_over=yes  # send what was written before the end
        start=$(size)
        [ "$start" -ge "$from" ] || from=0
        [ "$start" -eq "$from" ] || slice || return
        from=$start
        [ -n "$is_over" ] || sleep 1
    done
}

send_log() {
    enter_root || return 0
    if [ ! -d "$pod" ]; then
        reply nofolder
        return 0
    fi
    choose_log || return 0
    was_truncated && offset=0
    start=$(start_of_log)
    send_notes "$start"
    if [ -n "$follow" ] && ended; then
        follow=
        reply "ended $(final_length)"
    fi
    [ -z "$followed_run" ] || reply "run $followed_run"
    opened=
    { opened=yes; reply begun >&2; deliver; } 4<"$log" && return
    [ -z "$opened" ] || return  # bytes of the log were sent: the exit code reports the failure
    [ -d "$pod" ] || reply nofolder
    return 0
}

# Messages of commands are discarded: the session would deliver them as bytes of the log.
deliver() {
    reply "log $start"
    if [ -n "$follow" ]; then
        follow_from "$start"
        return 0  # a reader that does not know the length opens the log again
    fi
    from_byte "$start" <&4
} 2>/dev/null

send_log
