# shellcheck shell=sh
# shellcheck disable=SC2154 # values are set in front of this text
# Copies the logs and records of a pod from its node, with which no file system is shared. A step of the job sends them;
# the job waits for the copy. Values:
#   pod            the pod's folder
#   incoming       a new folder for what arrives
#   step           srun's command line
#   quoted_at      the pod's folder on its node, quoted for the shell there
# Replies:
#   >fetched       they are in the pod's folder on the login node
#   >nofolder      the pod was deleted, or this login node does not see its folder yet

on_node() {
    eval "timeout -k 5 $1 $step" '"$2"' </dev/null
}

# shellcheck disable=SC2016 # expanded by the node's shell
pack='cd "$at" || exit
    { echo "$$" >../fetching; } 2>/dev/null  # the file system may be full
    timeout -k 5 600 tar -cf - $(ls -d logs records job-*.out 2>/dev/null)
    code=$?
    rm -f ../fetching
    exit $code'

copy_files() {
    rm -rf "$incoming"
    mkdir "$incoming" && on_node 600 "at=$quoted_at; $pack" >"$incoming/files.tar" &&
        tar -xf "$incoming/files.tar" -C "$incoming" && rm "$incoming/files.tar"
}

replace_files() {
    rm -rf "$pod/logs" "$pod/records" && mv -- "$incoming"/* "$pod/" && : >"$pod/fetched"
}

fetch() {
    enter_root || return
    superseded && return
    if [ ! -d "$pod" ]; then
        reply nofolder
    elif copy_files && replace_files; then
        reply fetched
        on_node 60 ": >$quoted_at/../fetched"
    fi
    rm -rf "$incoming"
}

fetch
