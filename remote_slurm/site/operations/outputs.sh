# shellcheck shell=sh
# shellcheck disable=SC2154 # squeue is set in front of this text: the whole command
# Prints the output files of some jobs, one per line, then
#   >outputs CODE

outputs() {
    eval "timeout -k 5 30 $squeue" </dev/null
    reply_after_command "outputs $?"
}

outputs
