# shellcheck shell=bash
# What Podman does in its own way: the runner's runtime_hook calls some of these functions. job.sh says
#
#   use_podman                  containers run under Podman
#   podman_storage PROGRAM...   a storage for this job alone, where podman unpacks images: see storage.sh
#   podman_of_site PROGRAM...   podman-hpc's own storage, which has the containers of all jobs
#
# And of the next container:
#
#   podman_image TAG FILE       an archive or a folder becomes an image in the job's storage

use_podman() {
    runtime=podman
}

podman_is_log_line() {
    [[ $1 == 12[5-7]' Error: '* || $1 == 12[5-7]' time="'*'level='* ]]
}

podman_is_start_error() {
    [[ $1 == '125 Error: '* || $1 == 12[67]' Error: '*'OCI '* || $1 == 12[67]' Error: workdir '* ]]
}

podman_read_image_config() {  # IMAGE PROGRAM...
    image_stop=$("${@:2}" image inspect --format '{{.Config.StopSignal}}' "$1")
}

podman_lacks_working_dir() {
    [[ $1 == *workdir*'does not exist'* ]]
}

podman_mount_working_dir() {  # FOLDER PATH
    working_dir_option=--workdir=$2 working_dir_mount=--volume=./$1:$2
}

# Puts the mount in front of the working directory.
podman_adjust_command() {
    local word mount=${working_dir_mount-}
    [[ -n $mount ]] || return 0
    words=()
    for word; do
        [[ $word != "$working_dir_option" || -z $mount ]] || { words+=("$mount"); mount=; }
        words+=("$word")
    done
}

# Podman may join a namespace that belongs to its own user namespace.
podman_start_ipc_keeper() {  # PROGRAM...
    local tries
    mkdir -p .runner
    # shellcheck disable=SC2016 # the inner shell's own variables
    "$@" unshare unshare --ipc "$BASH" -c 'echo "$$" >"$0"; exec sleep 2147483647' "$PWD/.runner/ipc" \
        </dev/null >/dev/null 2>&1 &
    disown "$!"
    background_pids+=("$!")
    for ((tries = 0; tries < ipc_tries; tries++)); do
        [[ -s .runner/ipc ]] && break
        kill -0 "$!" || return
        sleep 0.1
    done
    keeper=$(<.runner/ipc)
    background_pids+=("$keeper")
}

podman_use_ipc() {  # KEEPER
    # shellcheck disable=SC2034 # job.sh uses it
    ipc_option=--ipc=ns:/proc/$1/ns/ipc
}

podman_is_running() {  # NAME
    [[ $("${podman[@]}" container inspect --format '{{.State.Running}}' "$podman_prefix$1" 2>/dev/null) == true ]]
}

# The options go before those of `exec` itself. Where Slurm tracks processes by their parents, what runs in the container would
# outlive the step.
podman_open_exec() {  # ID TERMINAL
    local index action=$SLURM_JOB_ID.exec.$1
    # shellcheck disable=SC2016 # the inner shell's own variables
    after_the_job 'grep -lszxF "REMOTE_SLURM_ACTION=$1" /proc/[0-9]*/environ | while read -r file; do
            file=${file#/proc/} && kill -KILL "${file%%/*}"
        done' "$action"
    export REMOTE_SLURM_ACTION=$action
    # for a terminal, conmon makes a socket there, and the path of a socket has 107 bytes at most
    export TMPDIR=${XDG_RUNTIME_DIR:-/tmp}
    for index in "${!exec_words[@]}"; do
        [[ ${exec_words[index]} == exec && ${exec_words[index + 1]} == --env ]] || continue
        exec_words=("${exec_words[@]:0:index + 1}" --interactive ${2:+--tty --detach-keys=} "${exec_words[@]:index + 1}")
        return
    done
}

podman=()
podman_prefix=''  # of the names of this pod's containers, if the storage has containers of other pods

podman_of_site() {
    podman=("$@")
    podman_prefix=$pod.
    # shellcheck disable=SC2016 # the inner shell's own variables
    after_the_job '"$@"' "${podman[@]}" rm --force --time 0 --filter "name=^${podman_prefix//./\\.}"
}

# after_the_job SCRIPT WORD...: run SCRIPT when this shell has ended. Containers are no children of this shell, so that they
# would outlive a killed job if Slurm tracks processes by their parents. This watcher is no child either. If Slurm tracks
# processes by cgroups, all end together.
after_the_job() {
    (setsid /bin/sh -c "while kill -0 \"\$0\" 2>/dev/null; do sleep 2; done; $1" "$$" "${@:2}" </dev/null >/dev/null 2>&1 &)
}

podman_storage() {
    podman=("$@")
    local storage=$PWD/scratch/.podman folder
    mkdir -p "$storage"
    if ! node_folder "$shm"; then
        folder=$storage/run
        mkdir "$folder"
        leftovers+=("$folder")
    fi
    open_storage "$storage" "$folder" "${podman[@]}"
    watch_podman
}

watch_podman() {
    # A podman process creates its folder again after the job has removed it.
    # shellcheck disable=SC2016 # the inner shell's own variables
    after_the_job 'if [ -s "$CONTAINERS_STORAGE_CONF" ]; then
            "$@"
            kill -KILL "$(cat "$XDG_RUNTIME_DIR/libpod/tmp/pause.pid")"
        fi
        rm -rf "$XDG_RUNTIME_DIR" "$XDG_RUNTIME_DIR.owner"' "${podman[@]}" rm --all --force --time 0
}

podman_image() {
    local said
    [[ -e .runner/${1##*/} ]] && return
    mkdir -p .runner
    if said=$(unpack_for_podman "$2" "$1" 2>&1); then
        : >".runner/${1##*/}"
    else
        echo "image $2 cannot be used by ${podman[*]}: $said"
        return 1
    fi
}

unpack_for_podman() {
    local id
    if [[ -d $1 ]]; then
        tar -C "$1" -c . | "${podman[@]}" import --quiet - "$2"
    else
        id=$("${podman[@]}" load --quiet --input "$1") && "${podman[@]}" tag "${id##*: }" "$2"
    fi
}

# A container outlives the podman that was killed.
podman_end_container() {  # NAME
    has_storage && "${podman[@]}" rm --force --time 0 --ignore "$podman_prefix$1" >/dev/null 2>&1
}

# Without a storage of its own, podman would look into the account's.
has_storage() {
    ((${#podman[@]})) && [[ -n $podman_prefix || -s $CONTAINERS_STORAGE_CONF ]]
}

podman_close() {
    ((${#podman[@]})) && [[ -z $podman_prefix ]] || return
    has_storage && "${podman[@]}" rm --all --force --time 0 >/dev/null 2>&1
    return_files_to_account
    remove_storage "$PWD/scratch/.podman" "${podman[@]}"
}

# The account could neither read nor remove files that belong to other users of an image (subuid). Images are removed anyway.
return_files_to_account() {
    local where=("${leftovers[@]}")
    may_run_again || where+=(volumes/*/)
    [[ -n $(find "${where[@]}" -samefile scratch/.podman -prune -o ! -uid "$EUID" -print -quit) ]] || return
    "${podman[@]}" unshare find "${where[@]}" -samefile scratch/.podman -prune -o ! -uid 0 -exec chown -h 0:0 {} +
} 2>/dev/null
