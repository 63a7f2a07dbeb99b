# shellcheck shell=bash
# What the containers of a pod share in Kubernetes: /dev/shm, and an IPC namespace for System V IPC. job.sh says, before it
# starts containers:
#
#   shared_memory        make the folder that containers have as /dev/shm, in the node's memory
#   pod_ipc PROGRAM...   keep an IPC namespace that containers enter

ipc_option=''  # the option of the runtime by which a container enters it; job.sh has a default
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

# A sleeping process keeps the namespace, since containers may end and start again. If the node does not allow that, each
# container has an IPC namespace of its own.
pod_ipc() {
    local keeper=''
    runtime_hook start_ipc_keeper "$@" && await_own_ipc "$keeper" && runtime_hook use_ipc "$keeper"
    return 0
} 2>/dev/null

await_own_ipc() {
    local tries
    for ((tries = 0; tries < ipc_tries; tries++)); do
        has_own ipc "$1" && return
        kill -0 "$1" || return
        sleep 0.1
    done
    return 1
}
