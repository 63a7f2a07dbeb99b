# shellcheck shell=sh
# shellcheck disable=SC2154 # pod, container, lines, bytes, since, offset, notes, previous, over, apart and follow are set in front
# The log of one container. Only the bytes that were asked for cross the wire, however long the log is.
#   >noted TIME SIZE  what the runner noted of its length, where `notes` asks for it
#   >log START        the bytes from START on follow, raw
#   >waiting          the container has not started
#   >noprevious       it has no run before this one
#   >nofolder         the pod has no folder
#   >stayed           on a node that shares no file system: it was not fetched before its job ended
# Following ends with the container; when the reader goes away, the session ends this script.

# Which run of the container goes on, by its record; `over` between two of them, and after the last.
current_run() {
    # shellcheck disable=SC2016 # awk's own variables
    awk 'NR == 1 {
        for (i = 9; i <= 12; i++) if (split($i, word, "=") == 2) told[word[1]] = word[2]
        print $4 == "terminated" || told["reason"] == "CrashLoopBackOff" ? "over" : told["restarts"] + 0
    }' "$pod/records/$container" 2>/dev/null
}

# A log is that of one run: the next one has another file.
ended() {
    [ -n "$over" ] || [ ! -d "$pod" ] && return
    run=$(current_run)
    : "${first_run:=$run}"
    [ "$run" = over ] || [ "$run" != "$first_run" ]
}

# what Slurm and the runner had to say, where no container ever could
choose_log() {
    log=$pod/logs/$container.log
    sizes=$pod/logs/.$container.sizes
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
        if [ -n "$apart" ] && [ ! -e "$pod/fetched" ]; then
            reply stayed
            return 1
        fi
        for log in "$pod"/job-*.out; do
            [ -e "$log" ] && return
        done
        log=/dev/null
    fi
    [ -e "$log" ]
}

size() {
    wc -c <"$log"
}

# where the last lines begin; the log may grow while they are counted
start_of_lines() {
    before=-1
    after=$(size)
    while [ "$before" != "$after" ]; do
        before=$after
        count=$(tail -n "$lines" -- "$log" | wc -c)
        after=$(size)
    done
    echo $((after - count))
}

# the length that the log had before `since`, moved back to the beginning of its line
start_of_time() {
    [ -e "$sizes" ] || { echo 0; return; }
    start=$(awk -v since="$since" '$1 < since { size = $2 } END { print size + 0 }' "$sizes")
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

send_notes() {
    [ -n "$notes" ] && [ -e "$sizes" ] || return
    awk -v start="$1" '$2 > start { print ">noted " $1 " " $2 }' "$sizes"
}

limit() {
    if [ -n "$bytes" ]; then
        head -c "$bytes"
    else
        cat
    fi
}

# dd only moves to the place, and what comes after it reads on from there: tail would copy all of it through a pipe.
from_byte() {
    [ "$1" -eq 0 ] || dd bs=1 skip="$1" count=0 2>/dev/null
    limit
}

# GNU tail ends when the process that it watches has, after it has read the rest. Where it cannot be told of changes (NFS,
# overlays) it looks ten times a second, for which it needs less time than the watcher does.
follow_from() {
    { until ended; do sleep 1; done; } >/dev/null 2>&1 &
    watcher=$!
    tail -c +$(($1 + 1)) --pid="$watcher" -s 0.1 -f -- "$log" 2>/dev/null | limit
    kill "$watcher" 2>/dev/null
}

send_log() {
    first_run=
    enter_root || return
    if [ ! -d "$pod" ]; then
        reply nofolder
        return
    fi
    choose_log || return
    start=$(start_of_log)
    send_notes "$start"
    reply "log $start"
    if [ -n "$follow" ] && ! ended; then
        follow_from "$start"
    else
        from_byte "$start" <"$log"
    fi
}

send_log
:
