# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # stands behind runner.sh and node.sh, whose variables it uses
# Images, and what container runtimes need beside them; job.sh says which, before it starts containers:
#
#   runtime_environment CACHE     where the runtime keeps what is its own
#   images RETRIES NAME...        bring what the file `images` names into the cache; the containers wait for it
#   podman_storage PROGRAM...     a storage for this job alone, where podman unpacks images: see storage.sh
#   podman_of_site PROGRAM...     podman-hpc's own storage, where containers of all jobs lie
#   enroot_storage                likewise
#
# And of the next container:
#
#   from_image KEY [FUNCTION WORD...]      it needs this image of the file `images`, and something to be made of it
#   podman_image TAG FILE                  an archive or a folder becomes an image in the job's storage
#   enroot_container NAME FILE PROGRAM...  an image becomes a container there
#
# An image that cannot be had holds up its own containers, and none that has its own: what watches over each of them tries
# again, up to RETRIES times, and ends it then: a job cannot wait for ever, as a kubelet does.

pull_backoff=10  # seconds, as on a kubelet: 10 s, 20 s, 40 s, ... and never more than 300 s

runtime_environment() {
    local cache=$1 pod=$PWD temporary
    [[ $cache == /* ]] || cache=$PWD/$cache
    # shellcheck source=/dev/null
    . ./runtime.sh
}

images() {
    image_retries=$1
    shift
    waits ContainerCreating "images are being pulled on $(hostname)" "$@"
    # in a process of its own, so that a stop is noticed while it runs
    /bin/sh ./pull.sh node . &
    await "$!"
}

from_image() {
    image=$1
    image_step=("${@:2}")
}

# waits REASON MESSAGE NAME...: these containers have not started, and why. Whatever comes of them is recorded later, which
# the numbers of records tell: this one is 0.
waits() {
    local word=$1 message=$2 name time
    time=$(now)
    shift 2
    for name; do
        recall_earlier_run "$name"
        number=-1 reason=$word record "$name" waiting "$time" 0 0 0 "$message"
    done
    forget_run
}

# In the supervisor: whether the container has its image. It tells why not as a kubelet does, and in `no_image` at the end.
await_image() {
    local retries=$image_retries seconds=$pull_backoff late=
    [[ -z $no_image ]] || return
    trap 'stop_waiting' TERM
    until [[ -n $stopping ]] || is_pulled; do
        no_image="$(word_of_pull): $(words_of_pull)"
        ((retries-- > 0)) || return
        late=yes
        let_next_start
        say "$(words_of_pull); it is tried again in $seconds s"
        reason=$(word_of_pull) record "$name" waiting "$(now)" 0 0 0 "$(words_of_pull)"
        sleep_unless_stopped "$seconds"
        seconds=$((seconds < 160 ? seconds * 2 : 300))
        [[ -n $stopping ]] || pull_again
    done
    no_image=
    [[ -z $stopping ]] || { no_image=$(why_stopped); return; }
    [[ -z $late ]] || { make_of_image && may_mount || no_image=${no_image:-$failed}; }
}

stop_waiting() {
    interrupted=yes
    stopping=yes
    [[ -z $puller ]] || kill -TERM "$puller" 2>/dev/null
}

pull_again() {
    /bin/sh ./pull.sh node . "$image" &
    puller=$!
    await "$puller"
    puller=
}

# A pull that fails now counts more than an image of a run before Slurm requeued the job.
is_pulled() {
    [[ -z $image ]] || [[ -e image/$image && ! -s image.failed && ! -s image.failed.$image ]]
}

words_of_pull() {
    cat "image.failed.$image" 2>/dev/null || cat image.failed 2>/dev/null || echo "the pull of its image has ended"
}

# A kubelet's: domain/images.py has the same.
word_of_pull() {
    [[ $(words_of_pull) == *' is not in the cache, and '* ]] && echo ErrImageNeverPull || echo ErrImagePull
}

# Sets `no_image`, if it fails. Several containers may have one image.
make_of_image() {
    ((${#image_step[@]})) && is_pulled || return 0
    no_image=$("${image_step[@]}" 2>&1) && no_image=
}

# --- podman ----------------------------------------------------------------------------------------------------------

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
    local folder=$PWD/scratch/.podman run
    mkdir -p "$folder"
    if ! run=$(mktemp -d "$shm/remote-slurm-$SLURM_JOB_ID-XXXXXX" 2>/dev/null); then
        run=$folder/run
        mkdir "$run"
    fi
    leftovers+=("$run")
    open_storage "$folder" "$run" "${podman[@]}"
    watch_podman
}

watch_podman() {
    # shellcheck disable=SC2016 # the inner shell's own variables
    after_the_job '[ -s "$CONTAINERS_STORAGE_CONF" ] || exit
        "$@"
        kill -KILL "$(cat "$XDG_RUNTIME_DIR/libpod/tmp/pause.pid")"
        rm -rf "$XDG_RUNTIME_DIR"' "${podman[@]}" rm --all --force --time 0
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

# --- enroot ----------------------------------------------------------------------------------------------------------

# Containers of all pods have the same names, and RuntimeEnvironment may name a folder that jobs share.
enroot_storage() {
    export ENROOT_DATA_PATH=$ENROOT_DATA_PATH/remote-slurm-$SLURM_JOB_ID
    leftovers+=("$ENROOT_DATA_PATH")
}

enroot_container() {
    local name=$1 image=$2 said
    shift 2
    said=$("$@" create --force --name "$name" "$image" 2>&1 </dev/null) && return
    echo "image $image cannot be used by $*: $said"
    return 1
}
