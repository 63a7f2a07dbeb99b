# shellcheck shell=bash
# Sites purge files on scratch file systems that have not been used for some weeks. That would remove files that a long job
# still needs: its scripts, images, records, and its fence. The pod's own files are left as they are.
#
#   protect_from_purge every=SECONDS   touch them as often

protect_from_purge() {
    local file files=()
    # those that were sent, before containers make others
    while IFS= read -r -d '' file; do
        files+=("$file")
    done < <(find . -type f ! -path './logs/*' ! -path './records/*' -print0)
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
        printf '%s\0' "${files[@]}" | xargs -0 -r touch -c -- 2>/dev/null
        [[ -z ${lib-} ]] || touch -c "$lib" "$lib"/* 2>/dev/null
        # what came later: a container that has long said nothing still has its log open, and its message bound
        find logs messages .runner -exec touch -c {} + 2>/dev/null
        touch -c hosts localtime secret/.marked/* 2>/dev/null
        # its images, and links to files elsewhere: a restart needs them
        touch -c image/* 2>/dev/null
        find . image/ -maxdepth 2 -type l -exec touch -c -h {} + 2>/dev/null
        touch -c . records records/* volumes/*/ scratch/*/ "$control" "$control/claims" "$control/lib" "$control/spool" 2>/dev/null
        touch -c "$control"/arrays "$control"/arrays/*/job.sh 2>/dev/null  # the pods of tasks
        touch -c -h "$control"/owners/* "$control"/owners/.[0-9]* "$control/claims/$pod.attempt" "$control/claims/$pod.job" 2>/dev/null
    done
}
