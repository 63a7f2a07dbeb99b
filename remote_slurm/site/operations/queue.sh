# shellcheck shell=sh
# shellcheck disable=SC2154 # squeue, the whole command, and known are set in front of this text
# Prints the account's jobs, one per line, then
#   >queue CODE SECONDS   squeue's exit code, and the site's clock
# If the path of DataRootFolder is `known`, its file system is not accessed: while it hangs, the queue still answers.

queue() {
    [ -n "$known" ] || enter_root || return
    eval "TZ=UTC SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0 timeout -k 5 60 $squeue" </dev/null
    reply_after_command "queue $? $(date +%s)"
}

queue
