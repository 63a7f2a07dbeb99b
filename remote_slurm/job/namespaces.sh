# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # sourced after runner.sh, whose variables it uses
# Namespaces of processes.

has_own() {
    local theirs
    theirs=$(readlink "/proc/$2/ns/$1") && [[ $theirs != "$(readlink "/proc/self/ns/$1")" ]]
}
