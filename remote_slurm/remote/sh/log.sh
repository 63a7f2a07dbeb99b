# shellcheck shell=sh
# shellcheck disable=SC2154 # pod, container, lines, bytes and follow are set in front of this text
# The log of one container as raw bytes, after the line
#   >log              it follows
# Following ends with the container; when the reader goes away, the session ends this script.

log=$pod/logs/$container.log

ended() {
    grep -q '^v1 [^ ]* [^ ]* terminated ' "$pod/records/$container" 2>/dev/null || [ ! -d "$pod" ]
}

# what Slurm and the runner had to say, where no container could
pick_log() {
    [ -e "$log" ] && return
    for log in "$pod"/job-*.out; do
        [ -e "$log" ] && return
    done
    log=/dev/null
}

wait_for_log() {
    until [ -e "$log" ] || ended; do
        sleep 1
    done
}

limit() {
    if [ -n "$bytes" ]; then
        head -c "$bytes"
    else
        cat
    fi
}

read_log() {
    pick_log
    tail -n "$lines" -- "$log" | limit
}

# GNU tail ends when the process that it watches has, after it has read the rest
follow_log() {
    { until ended; do sleep 1; done; } >/dev/null 2>&1 &
    watcher=$!
    if [ -e "$log" ]; then
        tail -n "$lines" --pid="$watcher" -f -- "$log" | limit
    else
        read_log
    fi
    kill "$watcher" 2>/dev/null
}

send_log() {
    enter_root || return
    if [ ! -d "$pod" ]; then
        reply nolog
        return
    fi
    reply log
    if [ -z "$follow" ] || ended; then
        read_log
    else
        wait_for_log
        follow_log
    fi
}

send_log
:
