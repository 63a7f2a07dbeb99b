# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # sourced after runner.sh, whose variables it uses
# What Podman needs:
#
#   podman_storage PROGRAM...   a storage for this job alone, where podman unpacks images: see storage.sh
#   podman_of_site PROGRAM...   podman-hpc's own storage, which has the containers of all jobs
#
# And of the next container:
#
#   podman_image TAG FILE       an archive or a folder becomes an image in the job's storage

podman=()
podman_prefix=''  # of the names of this pod's containers, where others' lie beside them

podman_of_site() {
    podman=("$@")
    podman_prefix=$pod.
    # shellcheck disable=SC2016 # the inner shell's own variables
    after_the_job '"$@"' "${podman[@]}" rm --force --time 0 --filter "name=^${podman_prefix//./\\.}"
}

# after_the_job SCRIPT WORD...: containers are no children of this shell, so that where Slurm tracks processes by their
# parents, they would outlive a job that is killed. Nor is who watches over that; where Slurm tracks by cgroups, all end
# together.
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
    # A process of podman's makes its folder again, after the job has removed it.
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
end_podman() {  # NAME
    has_storage && "${podman[@]}" rm --force --time 0 --ignore "$podman_prefix$1" >/dev/null 2>&1
}

# Without a storage of its own, podman would look into the account's.
has_storage() {
    ((${#podman[@]})) && [[ -n $podman_prefix || -s $CONTAINERS_STORAGE_CONF ]]
}

close_storage() {
    ((${#podman[@]})) && [[ -z $podman_prefix ]] || return
    has_storage && "${podman[@]}" rm --all --force --time 0 >/dev/null 2>&1
    give_back
    remove_storage "$PWD/scratch/.podman" "${podman[@]}"
}

# What users of an image own in volumes (subuid), the account could neither read nor remove. The images themselves go anyway.
give_back() {
    local where=("${leftovers[@]}")
    may_run_again || where+=(volumes/*/)
    [[ -n $(find "${where[@]}" -samefile scratch/.podman -prune -o ! -uid "$EUID" -print -quit) ]] || return
    "${podman[@]}" unshare find "${where[@]}" -samefile scratch/.podman -prune -o ! -uid 0 -exec chown -h 0:0 {} +
} 2>/dev/null
