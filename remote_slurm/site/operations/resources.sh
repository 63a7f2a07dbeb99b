# shellcheck shell=sh
# shellcheck disable=SC2154 # script is set in front of this text
# Prints the output of ResourceScriptPath, then
#   >error TEXT       the last line of its messages, if it fails and has printed any
#   >resources CODE   its exit code

newline='
'

resources() {
    cd "$HOME" || return
    ended=$({ "$script" 2>&1 >&3 3>&- </dev/null; printf '\n%s\n' "$?"; } | grep . | tail -n 2 | tail -c 2000)
    printf '\n'
    code=${ended##*"$newline"}
    [ "$code" = 0 ] || [ "$code" = "$ended" ] || reply "error ${ended%"$newline"*}"
    reply "resources $code"
} 3>&1

resources
