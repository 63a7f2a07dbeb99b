# shellcheck shell=bash
# Namespaces of processes.

has_own() {
    [[ -e /proc/$2/ns/$1 && ! /proc/$2/ns/$1 -ef /proc/self/ns/$1 ]]
}
