# shellcheck shell=sh
# shellcheck disable=SC2154 # sacct is set in front of this text: the whole command
# What the accounting knows of some jobs, one line each, then
#   >accounting CODE

accounting() {
    eval "TZ=UTC SLURM_TIME_FORMAT=%s timeout -k 5 60 $sacct" </dev/null
    reply "accounting $?"
}

accounting
