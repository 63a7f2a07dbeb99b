# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # stands behind runner.sh and node.sh, whose variables it uses
# Images, and what container runtimes need beside them; job.sh says which, before it starts containers:
#
#   runtime_environment CACHE     where the runtime keeps what is its own
#   images RETRIES NAME...        bring what the file `images` names into the cache, with as many retries; the containers
#   podman_storage PROGRAM...     a storage for this job alone, where podman unpacks images
#   podman_image TAG FILE         an archive or a folder becomes an image there
#   enroot_container NAME FILE PROGRAM...  an image becomes a container there
#
# What fails sets `failed`, and no container starts any more.

runtime_environment() {
    local cache=$1 pod=$PWD temporary
    [[ $cache == /* ]] || cache=$PWD/$cache
    # shellcheck source=/dev/null
    . ./runtime.sh
}

images() {
    local retries=$1 seconds=10
    shift
    rm -f image.tries
    waits ContainerCreating "images are being pulled on $(hostname)" "$@"
    until [[ -n $failed ]] || pull_images; do
        if ((retries-- == 0)); then
            failed="ErrImagePull: $(<image.failed)"
            return
        fi
        say "$(<image.failed); it is tried again in $seconds s"
        waits ErrImagePull "$(<image.failed)" "$@"
        sleep "$seconds" &
        await "$!"
        seconds=$((seconds < 160 ? seconds * 2 : 300))
    done
}

# waits REASON MESSAGE NAME...: these containers have not started, and why. Whatever comes of them is recorded later, which
# the numbers of records tell: this one is 0.
waits() {
    local word=$1 message=$2 name time
    time=$(now)
    shift 2
    for name; do
        number=-1 reason=$word record "$name" waiting "$time" 0 0 0 "$message"
    done
}

# In a process of its own, so that a stop is noticed while it runs.
pull_images() {
    /bin/sh ./pull.sh node . &
    await "$!"
    [[ -n $failed ]] || return "$code"
}

# --- podman ----------------------------------------------------------------------------------------------------------

podman=()

# One storage for each job: they would disturb each other's, above all on a file system that nodes share. Without ids of
# their own for the users in an image (subuid), all files belong to the account.
podman_storage() {
    podman=("$@")
    local folder=$PWD/scratch/.podman driver=${STORAGE_DRIVER:-overlay} run
    mkdir -p "$folder"
    if ! run=$(mktemp -d "$shm/remote-slurm-$SLURM_JOB_ID-XXXXXX" 2>/dev/null); then
        run=$folder/run
        mkdir "$run"
    fi
    leftovers+=("$run")
    export XDG_RUNTIME_DIR=$run PODMAN_IGNORE_CGROUPSV1_WARNING=1
    export CONTAINERS_STORAGE_CONF=$folder/storage.conf CONTAINERS_CONF_OVERRIDE=$folder/containers.conf
    printf '[engine]\ntmp_dir = "%s"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n' "$run/tmp" \
        >"$CONTAINERS_CONF_OVERRIDE"
    storage_conf "$folder/storage" "$driver" >"$CONTAINERS_STORAGE_CONF"
    "${podman[@]}" info >/dev/null 2>&1 || storage_conf "$folder/storage" vfs >"$CONTAINERS_STORAGE_CONF"
    watch_podman
}

# Containers are no children of this shell: where Slurm tracks processes by their parents, they would outlive a job that
# is killed. Nor is who watches over that; where Slurm tracks by cgroups, all end together.
watch_podman() {
    # shellcheck disable=SC2016 # the inner shell's own variables
    (setsid /bin/sh -c 'while kill -0 "$0" 2>/dev/null; do sleep 2; done
        [ ! -s "$CONTAINERS_STORAGE_CONF" ] || exec "$@"' "$$" \
        "${podman[@]}" rm --all --force --time 0 </dev/null >/dev/null 2>&1 &)
}

storage_conf() {
    printf '[storage]\ndriver = "%s"\ngraphroot = "%s"\nrootless_storage_path = "%s"\n' "$2" "$1" "$1"
    printf '[storage.options.%s]\nignore_chown_errors = "true"\n' overlay vfs
}

podman_image() {
    [[ -z $failed ]] || return
    local said
    said=$(unpack_for_podman "$2" "$1" 2>&1) || failed="image $2 cannot be used by ${podman[*]}: $said"
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
end_podman() {
    # without a storage of its own, podman would look into the account's
    ((${#podman[@]})) && [[ -s $CONTAINERS_STORAGE_CONF ]] || return
    "${podman[@]}" rm --force --time 0 --ignore "$@" >/dev/null 2>&1
}

close_storage() {
    ((${#podman[@]})) || return
    end_podman --all
    # what belongs to ids that are not the account's own
    "${podman[@]}" unshare rm -rf "$PWD/scratch/.podman/storage" 2>/dev/null
}

# --- enroot ----------------------------------------------------------------------------------------------------------

enroot_container() {
    [[ -z $failed ]] || return
    local name=$1 image=$2 said
    shift 2
    said=$("$@" create --force --name "$name" "$image" 2>&1 </dev/null) ||
        failed="image $image cannot be used by $*: $said"
}
