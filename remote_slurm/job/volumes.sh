# shellcheck shell=bash
# Volumes on the node:
#
#   memory_volume NAME                an emptyDir in the node's memory
#   size_limit NAME bytes=N           evict the pod when this emptyDir grows beyond its limit
#   host_path TYPE PATH [ALLOWED...]  check or make a hostPath; links must not lead out of ALLOWED
#   sub_path VOLUME PATH SHOWN        make what a container mounts of a volume; messages have SHOWN

memory_volume() {
    local folder
    rm -rf "volumes/$1"
    mkdir -p volumes
    if node_folder "$shm"; then
        # without links, since enter_source takes no others for the runner's own
        ln -s "$(readlink -f -- "$folder")" "volumes/$1"
    else
        say "memory volume $1 is on disk: no folder can be created in $shm on node $(hostname)"
        mkdir "volumes/$1"
    fi
}

size_limit() {
    watch_size "$1" "${2#bytes=}" &
    disown "$!"
    background_pids+=("$!")
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
            evict Evicted "volume $1 holds ${used%%[!0-9]*} bytes, more than its sizeLimit of $2: the pod was evicted"
            return
        fi
        ((seconds < 30)) && seconds=$((seconds * 2))
        ((seconds < 20 * (SECONDS - began))) && seconds=$((20 * (SECONDS - began)))
    done
}

host_path() {
    local type=$1 path=$2 source=$2 allowed=("${@:3}") said=''
    guard host_path "$@"
    if ! { [[ $type != *OrCreate || -e $path ]] || said=$(make_host_path 2>&1); } ||
        ! { [[ ! -e $path ]] || said=$(enter_source 2>&1); }; then
        fail NotStarted "$said"
        return
    fi
    case $type in
        Directory | DirectoryOrCreate) [[ -d $path ]] ;;
        File | FileOrCreate) [[ -f $path ]] ;;
        Socket) [[ -S $path ]] ;;
        CharDevice) [[ -c $path ]] ;;
        BlockDevice) [[ -b $path ]] ;;
        *) [[ -e $path ]] ;;
    esac || fail NotStarted "hostPath $path is not there as ${type:-a path} on node $(hostname)"
}

# Below a folder that AllowedHostPaths names, a container may have left links.
make_host_path() {
    local folder=$path name='' root sub='' object what="hostPath $path"
    [[ $type != FileOrCreate ]] || { folder=${path%/*}/ name=${path##*/}; }
    umask 022
    for root in "${allowed[@]}"; do
        [[ $folder/ == "${root%/}/"* ]] || continue
        sub=${folder#"${root%/}"}
        folder=$root
        break
    done
    { mkdir -p -- "$folder" && cd -P -- "$folder"; } 2>/dev/null || exit 0  # its type is checked next
    enter_sub
    set -C
    [[ -z $name ]] || { : >"./$name"; } 2>/dev/null || exit 0
}

sub_path() {
    local source=$1 sub=$2 shown=$3 allowed=() said
    guard sub_path "$@"
    said=$({ enter_source && enter_sub; } 2>&1) || fail NotStarted "$said"
}
