# shellcheck shell=sh
# shellcheck disable=SC2154 # sacct, the program, and with_line, without_line and steps, whole commands, are set in front of this text
# Prints the accounting records of some jobs, one per line, then
#   >step ROW         what a job and each of its steps have used, if sacct prints it
#   >accounting CODE

accounting() {
    case $("$sacct" --helpformat 2>/dev/null </dev/null) in
        *SubmitLine*) command=$with_line ;;
        *) command=$without_line ;;
    esac
    eval "TZ=UTC SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0 timeout -k 5 60 $command" </dev/null
    code=$?
    printf '\n'
    [ "$code" -ne 0 ] || eval "TZ=UTC SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0 timeout -k 5 30 $steps" </dev/null 2>/dev/null | sed 's/^/>step /'
    reply_after_command "accounting $code"
}

accounting
