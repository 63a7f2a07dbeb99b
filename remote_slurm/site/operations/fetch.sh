# shellcheck shell=sh
# shellcheck disable=SC2154 # pod, incoming and step are set in front of this text, and at: the pod's folder on its node
# The logs and records of a pod from its node, where no file system is shared. The job waits for it; what it does runs
# as a step of the job, beside what is there.
#   >fetched       they are in the pod's folder here
#   >nofolder      the pod was deleted, or is not in sight yet

on_node() {
    eval "timeout -k 5 $1 $step" '"$2"' </dev/null
}

# shellcheck disable=SC2016 # the node's shell puts them in
pack='cd "$at" || exit
    { echo "$$" >../fetching; } 2>/dev/null  # there may be no room for it
    timeout -k 5 600 tar -cf - $(ls -d logs records job-*.out 2>/dev/null)
    code=$?
    rm -f ../fetching
    exit $code'

bring() {
    rm -rf "$incoming"
    mkdir "$incoming" && on_node 600 "at=$quoted_at; $pack" >"$incoming/files.tar" &&
        tar -xf "$incoming/files.tar" -C "$incoming" && rm "$incoming/files.tar"
}

keep() {
    rm -rf "$pod/logs" "$pod/records" && mv -- "$incoming"/* "$pod/" && : >"$pod/fetched"
}

fetch() {
    enter_root || return
    superseded && return
    if [ ! -d "$pod" ]; then
        reply nofolder
    elif bring && keep; then
        reply fetched
        on_node 60 ": >$quoted_at/../fetched"
    fi
    rm -rf "$incoming"
}

fetch
