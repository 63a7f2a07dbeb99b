# shellcheck shell=sh
# shellcheck disable=SC2154 # sinfo is set in front of this text: the whole command
# Prints the nodes that the account may use, one per line, then
#   >nodes CODE

nodes() {
    eval "timeout -k 5 60 $sinfo" </dev/null
    reply_after_command "nodes $?"
}

nodes
