# shellcheck shell=bash
# What a container says of its own end.
#
#   termination_message FILE|- File|FallbackToLogsOnError   for the next container; a relative FILE is ours

message_limit=4096      # bytes of a file, and of a log, and its lines, as on a kubelet
message_log_limit=2048
message_log_lines=80

termination_message() {
    message_file=$1
    message_policy=$2
}

# Each run begins with an empty one; a file of the node's is only believed if it was written since.
begin_message() {
    case $message_file in
        - | "") ;;
        /*) mkdir -p .runner && : >"$run_prefix.began" ;;
        *) mkdir -p "${message_file%/*}" && : >"$message_file" ;;
    esac
} 2>/dev/null

# Sets `message`.
read_message() {
    message=
    case $message_file in
        - | "") ;;
        # -nt of bash 4.2 compares whole seconds
        /*) [[ -f $message_file && -n $(find -L "$message_file" -newer "$run_prefix.began") ]] &&
            message=$(head -c "$message_limit" "$message_file") ;;
        *) message=$(head -c "$message_limit" "$message_file") ;;
    esac
    if [[ -z $message && $message_policy == FallbackToLogsOnError ]] && ((code != 0)); then
        message=$(tail -c "$message_log_limit" "logs/$name.log" | tail -n "$message_log_lines")
    fi
} 2>/dev/null
