# shellcheck shell=sh
# shellcheck disable=SC2154 # values are set in front of this text
# Prints the accounting records of some jobs, one per line. Values:
#   sacct                     the program
#   with_line, without_line   whole commands, with and without the field SubmitLine, which Slurm before 21.08 lacks
#   steps                     the whole command that prints what jobs and their steps have used
# Then
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
