# shellcheck shell=sh
# shellcheck disable=SC2154 # sinfo is set in front of this text
# Prints the output of sinfo, then
#   >sinfo CODE   its exit code

print_partitions() {
    timeout -k 2 15 "$sinfo" </dev/null
    reply_after_command "sinfo $?"
}

print_partitions
