# shellcheck shell=sh
# shellcheck disable=SC2154 # squeue, the whole command, and known are set in front of this text
# The account's jobs, one line each, then
#   >queue CODE SECONDS   squeue's exit code, and the site's clock
# The file system of DataRootFolder is not touched where its spelling is `known`: while it hangs, the queue still answers.

queue() {
    if [ -n "$known" ]; then
        reply "root $known"
    else
        enter_root || return
    fi
    eval "TZ=UTC SLURM_TIME_FORMAT=%s timeout -k 5 60 $squeue" </dev/null
    reply "queue $? $(date +%s)"
}

queue
