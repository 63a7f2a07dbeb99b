# shellcheck shell=sh
# shellcheck disable=SC2154 # script is set in front of this text
# Prints the output of ResourceScriptPath, then
#   >resources CODE   its exit code

resources() {
    cd "$HOME" || return
    "$script" 2>/dev/null </dev/null
    reply_after_command "resources $?"
}

resources
