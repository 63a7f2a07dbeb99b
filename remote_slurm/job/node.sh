# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # stands behind runner.sh, whose variables it uses
# What containers need of the node: job.sh says which, one call after another, before it starts them.
#
#   scratch NAME...              a folder for each container's /tmp, /var/tmp and home
#   gpus                         tell containers which GPUs Slurm has given the job
#   memory_volume NAME           an emptyDir in the node's memory
#   size_limit NAME BYTES        end the pod when this emptyDir grows beyond its limit
#   host_path TYPE PATH [ALLOWED...]  check or make a hostPath; links must not lead out of what is allowed
#   sub_path VOLUME PATH         make what a container mounts of a volume, where it is missing
#
# What fails sets `failed`, and no container starts any more.

shm=/dev/shm
stopped='the job was told to stop'  # domain/ends.py waits for Slurm's reason where it reads this
leftovers=()  # folders outside of the pod's that end with the job
watchers=()   # process ids, one for each emptyDir with a limit
guarded=()    # what was looked at before containers mounted it, one call each
guarding=yes

# Whatever happens, secrets do not outlive the job, nor does what lies on the node.
clean_up() {
    local folders=(scratch .runner "${leftovers[@]}")
    # first, since Slurm may give the rest little time
    may_run_again || { folders+=(secret); rm -rf secret 2>/dev/null; }
    close_storage
    ((${#watchers[@]})) && kill "${watchers[@]}" 2>/dev/null
    rm -rf -- "${folders[@]}" 2>/dev/null && return
    # a container may have taken its own folders' write permission away
    chmod -R u+rwX -- "${folders[@]}" 2>/dev/null
    rm -rf -- "${folders[@]}"
}

# Slurm stops a job before it requeues it, and then nobody brings the secrets again: they go with the pod at the latest.
may_run_again() {
    [[ $failed == "$stopped" && ! -e $control/claims/$pod.deleted ]] && grep -qx '#SBATCH --requeue' job.sh
}

# The pod's own choice; else the node's disk where the site gives each job a folder there (TMPDIR, ours alone); else the
# pod's folder, which all nodes of the job see. It is not the node's /tmp, which may be memory, and where a killed job would leave things.
scratch() {
    local folder name
    rm -rf scratch  # of a run before Slurm requeued the job
    if [[ -n ${workdir-} ]]; then
        rm -rf "$workdir/scratch"
        leftovers+=("$workdir/scratch")
        mkdir "$workdir/scratch" && ln -s "$workdir/scratch" scratch
    elif [[ -d ${TMPDIR-} && -O $TMPDIR && -w $TMPDIR && ${SLURM_JOB_NUM_NODES-1} == 1 ]] &&
        folder=$(mktemp -d "$TMPDIR/remote-slurm-$SLURM_JOB_ID-XXXXXX" 2>/dev/null); then
        leftovers+=("$folder")
        ln -s "$folder" scratch
    else
        mkdir scratch
    fi
    for name; do
        mkdir "scratch/$name" || failed="no folder for /tmp can be made on node $(hostname)"
    done
}

memory_volume() {
    local folder
    rm -rf "volumes/$1"
    mkdir -p volumes
    if folder=$(mktemp -d "$shm/remote-slurm-$SLURM_JOB_ID-XXXXXX" 2>/dev/null); then
        leftovers+=("$folder")
        ln -s "$folder" "volumes/$1"
    else
        say "volume $1 lies on disk: nothing can be made in $shm on node $(hostname)"
        mkdir "volumes/$1"
    fi
}

# Nothing of the node's environment reaches a container but what has these prefixes, or with Enroot what `gpu_words` say.
# Where no cgroup hides the others' GPUs, a program takes the first one of the node unless it is told.
gpus() {
    local name
    gpu_words=()
    for name in CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES GPU_DEVICE_ORDINAL; do
        [[ -n ${!name-} ]] || continue
        export "APPTAINERENV_$name=${!name}" "SINGULARITYENV_$name=${!name}"
        gpu_words+=(--env "$name=${!name}")
    done
}

# --- sizes of emptyDirs ----------------------------------------------------------------------------------------------

size_limit() {
    watch_size "$1" "$2" &
    disown "$!"
    watchers+=("$!")
}

# Seldom, and the more seldom the longer it takes, since the file system may be everybody's.
watch_size() {
    local seconds=1 used began
    trap 'kill "$sleeper" 2>/dev/null; exit' TERM
    while :; do
        sleep "$seconds" &
        sleeper=$!
        wait "$sleeper"
        began=$SECONDS
        used=$(du -s -B 1 "volumes/$1/" 2>/dev/null)
        if ((${used%%[!0-9]*} > $2)); then
            evict "volume $1 holds ${used%%[!0-9]*} bytes, more than its sizeLimit of $2: the pod was evicted"
            return
        fi
        ((seconds < 30)) && seconds=$((seconds * 2))
        ((seconds < 20 * (SECONDS - began))) && seconds=$((20 * (SECONDS - began)))
    done
}

# As the job's end is asked for from outside, but for a reason that is known here.
evict() {
    say "$1"
    with_room note_eviction "$1"
    kill -TERM "$$"
}

note_eviction() {
    printf '%s\n' "$1" >.evicted
} 2>/dev/null

why_stopped() {
    if [[ -s .evicted ]]; then
        cat .evicted
    elif is_past_deadline; then
        deadline_message
    elif is_near_time_limit; then
        printf 'the job was about to reach its time limit\n'
    else
        printf '%s\n' "$stopped"
    fi
}

# --- paths -----------------------------------------------------------------------------------------------------------

host_path() {
    local type=$1 path=$2
    guard host_path "$@"
    shift 2
    if (($#)) && ! is_within "$path" "$@"; then
        failed="hostPath $path leads to $(readlink -m -- "$path") on node $(hostname), which AllowedHostPaths does not allow"
        return
    fi
    case $type in
        DirectoryOrCreate) mkdir -p -- "$path" 2>/dev/null; [[ -d $path ]] ;;
        FileOrCreate) [[ -e $path ]] || { : >"$path"; } 2>/dev/null; [[ -f $path ]] ;;
        Directory) [[ -d $path ]] ;;
        File) [[ -f $path ]] ;;
        Socket) [[ -S $path ]] ;;
        CharDevice) [[ -c $path ]] ;;
        BlockDevice) [[ -b $path ]] ;;
        *) [[ -e $path ]] ;;
    esac || failed="hostPath $path is not there as ${type:-a path} on node $(hostname)"
}

sub_path() {
    guard sub_path "$@"
    if ! is_within "$1/$2" "$1"; then
        failed="subPath $2 leads out of its volume, to $(readlink -m -- "$1/$2")"
    elif ! [[ -e $1/$2 ]] && ! mkdir -p -- "$1/$2"; then
        failed="subPath $2 could not be made in its volume"
    fi
}

guard() {
    [[ -z $guarding ]] || guarded+=("$(printf '%q ' "$@")")
}

# Before something is mounted once more, for a restart or a probe: a container may have put a link there meanwhile.
may_mount() {
    local guarding='' each
    for each in "${guarded[@]}"; do
        eval "$each"
    done
    [[ -z $failed ]]
}

# is_within PATH FOLDER...: whether the path, with all links followed, is one of the folders or lies in it
is_within() {
    local path folder
    path=$(readlink -m -- "$1")/
    shift
    for folder; do
        folder=$(readlink -m -- "$folder")
        [[ $path == "${folder%/}"/* ]] && return
    done
    return 1
}

# --- commands --------------------------------------------------------------------------------------------------------

# with_env FILE COUNT WORD...: puts the NAME=VALUE entries of the file behind the first COUNT words, and runs them.
with_env() {
    local entry entries=() count=$2
    while IFS= read -r -d '' entry; do
        entries+=("$entry")
    done <"$1"
    shift 2
    become "${@:1:count}" "${entries[@]}" "${@:count+1}"
}

# In the place of this process, so that what is meant for the container reaches it; functions stay in it. A container's
# command is none of ours, whatever its name: `join` is a program as well.
become() {
    case $1 in
        on_node | prefixed) "$@" ;;
        *) exec -- "$@" ;;
    esac
}

# on_node ENV_FILE WORKING_DIR COMMAND...: what ContainerRuntime none runs instead of a container
on_node() {
    set -a
    # shellcheck disable=SC1090 # written by the sidecar, one assignment a line
    . "./$1" || exit 125
    set +a
    cd "${2:-$HOME}" || exit 125
    shift 2
    become "$@"
}
