# shellcheck shell=bash
# Sites purge files of scratch file systems that nobody has used for some weeks. What a long job still needs would be among
# them: what it was sent with, its images, its records, and its claim. Files of the pod's own are left as they are.
#
#   protect_from_purge every=SECONDS   touch them as often

protect_from_purge() {
    find . -type f ! -path './logs/*' ! -path './records/*' -print0 >.fresh
    touch_regularly "${1#every=}" &
    disown "$!"
    background_pids+=("$!")
}

touch_regularly() {
    local every=$1 sleeper=''
    trap 'kill "$sleeper" 2>/dev/null; exit' TERM
    while :; do
        sleep "$every" &
        sleeper=$!
        wait "$sleeper"
        # without -c, a file that is gone would come back empty
        xargs -0 -r touch -c -- <.fresh 2>/dev/null
        # what came later: a container that has long said nothing still has its log open, and its message bound
        find logs messages .runner -exec touch -c {} + 2>/dev/null
        touch -c hosts localtime secret/.marked/* 2>/dev/null
        # its images, and the links to what lies elsewhere: without them it could not be started again
        touch -c image/* 2>/dev/null
        find . image/ -maxdepth 2 -type l -exec touch -c -h {} + 2>/dev/null
        touch -c .fresh . records records/* .states .states/* volumes/*/ scratch/*/ "$control" "$control/claims" "$control/spool" 2>/dev/null
        touch -c -h "$control"/owners/* "$control"/owners/.[0-9]* "$control/claims/$pod.attempt" "$control/claims/$pod.job" 2>/dev/null
    done
}
