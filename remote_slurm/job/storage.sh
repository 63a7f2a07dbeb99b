# shellcheck shell=sh
# A Podman storage for one use: the containers of a job (podman.sh), or a pull (pull.sh). In the account's own storage, in its
# home folder, jobs would disturb each other, above all on a file system that nodes share. Plain POSIX shell.
#
#   open_storage FOLDER RUN PROGRAM...   images are in FOLDER, and files of running containers in RUN
#   remove_storage FOLDER PROGRAM...     remove it, and end the process that podman has left running

# Without ids of their own for the users in an image (subuid), all files belong to the account.
open_storage() {
    storage=$1
    export XDG_RUNTIME_DIR="$2" XDG_DATA_HOME="$1/data" PODMAN_IGNORE_CGROUPSV1_WARNING=1
    export CONTAINERS_STORAGE_CONF="$1/storage.conf" CONTAINERS_CONF_OVERRIDE="$1/containers.conf"
    shift 2
    printf '[engine]\ntmp_dir = "%s"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n' "$XDG_RUNTIME_DIR/tmp" \
        >"$CONTAINERS_CONF_OVERRIDE"
    storage_conf "${STORAGE_DRIVER:-overlay}" >"$CONTAINERS_STORAGE_CONF"
    "$@" info >/dev/null 2>&1 || storage_conf vfs >"$CONTAINERS_STORAGE_CONF"
}

storage_conf() {  # DRIVER
    printf '[storage]\ndriver = "%s"\ngraphroot = "%s"\nrootless_storage_path = "%s"\n' "$1" "$storage/storage" "$storage/storage"
    printf '[storage.options.%s]\nignore_chown_errors = "true"\n' overlay vfs
}

# Podman (5.4) leaves a process that holds the account's namespaces. Only SIGKILL ends it.
end_pause() {
    kill -KILL "$(cat "$XDG_RUNTIME_DIR/libpod/tmp/pause.pid")"
} 2>/dev/null

# Files may belong to other ids than the account's, and folders may be read-only.
remove_storage() {
    storage=$1
    shift
    "$@" unshare rm -rf "$storage/storage"
    end_pause
    rm -rf "$storage" || { chmod -R u+rwX "$storage" && rm -rf "$storage"; }
} 2>/dev/null
