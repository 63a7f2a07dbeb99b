# shellcheck shell=sh
# shellcheck disable=SC2154 # sacct, the program, and with_line and without_line, whole commands, are set in front of this text
# Prints the accounting records of some jobs, one per line, then
#   >accounting CODE

accounting() {
    case $("$sacct" --helpformat 2>/dev/null </dev/null) in
        *SubmitLine*) command=$with_line ;;
        *) command=$without_line ;;
    esac
    eval "TZ=UTC SLURM_TIME_FORMAT=%s timeout -k 5 60 $command" </dev/null
    reply_after_command "accounting $?"
}

accounting
