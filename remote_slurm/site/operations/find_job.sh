# shellcheck shell=sh
# shellcheck disable=SC2154 # squeue, the whole command, and known are set in front of this text
# One job of the account on a line, then
#   >job CODE   squeue's exit code
# If the path of DataRootFolder is `known`, its file system is not accessed.

job() {
    [ -n "$known" ] || enter_root || return
    eval "TZ=UTC SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0 timeout -k 5 20 $squeue" </dev/null
    reply_after_command "job $?"
}

job
