# shellcheck shell=sh
# shellcheck disable=SC2154 # squeue is set in front of this text: the whole command
# The account's jobs, one line each, then
#   >queue CODE SECONDS   squeue's exit code, and the site's clock

queue() {
    enter_root || return
    eval "TZ=UTC SLURM_TIME_FORMAT=%s timeout -k 5 60 $squeue" </dev/null
    reply "queue $? $(date +%s)"
}

queue
