# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # stands behind runner.sh, whose variables it uses
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
        /*) : >"$life.began" ;;
        *) mkdir -p "${message_file%/*}" && : >"$message_file" ;;
    esac
} 2>/dev/null

# Sets `message`.
read_message() {
    message=
    case $message_file in
        - | "") ;;
        /*) [[ $message_file -nt $life.began && -f $message_file ]] && message=$(head -c "$message_limit" "$message_file") ;;
        *) message=$(head -c "$message_limit" "$message_file") ;;
    esac
    if [[ -z $message && $message_policy == FallbackToLogsOnError ]] && ((code != 0)); then
        message=$(tail -n "$message_log_lines" "logs/$name.log" | tail -c "$message_log_limit")
    fi
    [[ -n $message ]] || quote_runtime
} 2>/dev/null

# A container that could not be started says nothing; what its runtime, or a shell in its place, said of it ends its log.
quote_runtime() {
    local line
    line=$(tail -n 1 "logs/$name.log" | head -c 1000)
    case "$code $line" in
        '255 FATAL:   '* | 12[5-7]' Error: '* | 12[67]' '*': exec: '*) message="its log ends with: $line" ;;
    esac
}
