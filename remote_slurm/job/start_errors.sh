# shellcheck shell=bash
# Tells a program that cannot be started from one that has run.

# A program that cannot be started has exit code 128 and the reason StartError, as with containerd. A runtime returns
# exit codes that a program can return as well, and writes into the log: only if nothing else has written there, the
# words are the runtime's.
recognize_start_error() {
    local said
    [[ $message_file == /* || ! -s $message_file ]] && find_start_error || return
    if was_stopped; then
        code=143
    else
        code=128 reason=StartError message=$said
    fi
}

# Sets `said`. A line may be as long as the log, and bash needs three times as much memory: more than the job may have.
find_start_error() {
    local line number=0
    said=''
    while { IFS= read -r -n 65536 line || [[ -n $line ]]; } && ((number++ < 200)); do
        [[ $line != '(remote-slurm: '* ]] || continue
        is_of_runtime "$line" || return
        said=${line:0:1000}
    done 2>/dev/null <"logs/$name.log"
    case "$code $said" in
        # `exec` of this shell
        12[67]" ${BASH_SOURCE[0]}: "*': exec: '*) said="exec: ${said#*: exec: }" ;;
        # mounts.sh, or a script in front of the command
        '125 Error: '*) ;;
        *) runtime_hook is_start_error "$code $said" ;;
    esac
}

is_of_runtime() {
    case "$code $1" in
        '125 Error: '*) ;;
        12[67]" ${BASH_SOURCE[0]}: "*[0-9]*': '*) ;;  # "line" has another word in other languages
        *) runtime_hook is_log_line "$code $1" ;;
    esac
}
