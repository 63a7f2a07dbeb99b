# shellcheck shell=bash
# For processes that live longer than, or apart from, the command that holds the locks.

# Everything above stderr, but 255, from which bash reads its script.
close_inherited_files() {
    local file
    for file in /proc/self/fd/*; do
        ((${file##*/} < 3 || ${file##*/} == 255)) || eval "exec ${file##*/}>&-"
    done
}
