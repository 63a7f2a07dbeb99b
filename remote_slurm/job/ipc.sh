# shellcheck shell=bash
# What the containers of a pod share in Kubernetes: /dev/shm, and an IPC namespace for System V IPC. job.sh says, before it
# starts containers:
#
#   shared_memory             make the folder that containers have as /dev/shm, in the node's memory
#   apptainer_ipc PROGRAM     keep an IPC namespace that `in_pod_ipc` enters
#   podman_ipc PROGRAM...     keep an IPC namespace that `podman run` exec_mode
#
# A process that sleeps keeps the namespace, since containers may end and start again. If the node does not allow it, each
# container has an IPC namespace of its own.

enter_ipc=()
ipc_option=''  # the words of job.sh have a default
ipc_tries=100  # tenths of a second

shared_memory() {
    local folder
    rm -rf shm
    if node_folder "$shm"; then
        ln -s "$folder" shm
    else
        say "/dev/shm of the containers is on disk: no folder can be created in $shm on node $(hostname)"
        mkdir shm
    fi
    chmod 1777 shm/.
}

# A process in a user namespace may be entered by the account that made it, without any privilege. Apptainer that is setuid
# root cannot run there.
apptainer_ipc() {
    local keeper
    type -P nsenter >/dev/null && [[ $("$1" buildcfg 2>/dev/null) != *SUID_INSTALL=1* ]] || return 0
    unshare --user --ipc sleep 2147483647 </dev/null >/dev/null 2>&1 &
    keeper=$!
    disown "$keeper"
    background_pids+=("$keeper")
    until_in_ipc "$keeper" && map_own_ids "$keeper" || return 0
    enter_ipc=("$(type -P nsenter)" --preserve-credentials --target "$keeper" --user --ipc --)
    if "${enter_ipc[@]}" true; then
        ipc_option=--pid
    else
        enter_ipc=()
    fi
} 2>/dev/null

map_own_ids() {
    local group
    group=$(id -g)
    echo deny >"/proc/$1/setgroups"
    echo "$EUID $EUID 1" >"/proc/$1/uid_map" && echo "$group $group 1" >"/proc/$1/gid_map"
}

until_in_ipc() {
    local tries
    for ((tries = 0; tries < ipc_tries; tries++)); do
        has_own ipc "$1" && return
        kill -0 "$1" || return
        sleep 0.1
    done
    return 1
}

# in_pod_ipc WORD...: becomes the container runtime, in the pod's IPC namespace
in_pod_ipc() {
    become "${enter_ipc[@]}" "$@"
}

# Podman may join a namespace that belongs to its own user namespace.
podman_ipc() {
    local keeper tries
    # shellcheck disable=SC2016 # the inner shell's own variables
    "$@" unshare unshare --ipc "$BASH" -c 'echo "$$" >"$0"; exec sleep 2147483647' "$PWD/.runner/ipc" \
        </dev/null >/dev/null 2>&1 &
    disown "$!"
    background_pids+=("$!")
    for ((tries = 0; tries < ipc_tries; tries++)); do
        [[ -s .runner/ipc ]] && break
        kill -0 "$!" || return 0
        sleep 0.1
    done
    keeper=$(<.runner/ipc)
    background_pids+=("$keeper")
    # shellcheck disable=SC2034 # the words of job.sh have it
    until_in_ipc "$keeper" && ipc_option=--ipc=ns:/proc/$keeper/ns/ipc
} 2>/dev/null
