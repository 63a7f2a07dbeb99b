# shellcheck shell=bash
# mounts.sh CONTAINER OPTION... -- COMMAND...: runs the command that starts a container, after the sources of its mounts were
# opened, checked and bound to .runner/mounts/CONTAINER/0, 1, 2, ..., which the command names as the sources. The options:
#
#   --mount SOURCE SUBPATH SHOWN            a path of the node or of the pod's folder; a path below it, or '', and how messages
#                                           show it
#   --allowed FOLDER                        the source of this mount, with all links followed, must be in such a folder
#   --inner NUMBER INTO PATH TARGET rw|ro   mount NUMBER belongs on PATH below mount INTO, which is TARGET in the container: the
#                                           command does not name it. The deepest ones come first
#
# Apptainer makes a missing mount point by its name on the node, and follows links there: a container could put a link into
# a volume, and have folders and files made wherever the account may write. So mounts inside of mounts are made here.
#
# Other containers of the pod may write below SOURCE while this runs. So the process enters the folder (paths.sh, whose
# text comes before this one's functions), and binds the folder that it is in: what is checked and what is mounted is the
# same object, as on a kubelet since CVE-2021-25741.
#
# Binding needs a mount namespace of its own: a new one below a user namespace, or the one that all containers of the account
# share, as with Podman, where PROGRAM... runs a command:
#
#   mounts.sh --shared-namespace PROGRAM... -- CONTAINER OPTION... -- COMMAND...
#
# A node without user namespaces has neither: there the resolved path is checked right before the command runs. Runs on
# each node that mpiexec starts ranks on: it uses nothing else of the runner. Written for bash 4.2, coreutils and util-linux 2.23.

# What is not a folder is mounted by its name, which could have become a link meanwhile: then it is another file than the
# one of this name.
bind_object() {
    local target=$stage/$1
    if [[ $object == . ]]; then
        mkdir "$target"
    else
        : >"$target"
    fi
    mount --no-canonicalize --rbind "./$object" "$target" || refuse "$source cannot be mounted"
    [[ $object == . || $(identity_of "./$object") == "$(identity_of "$target")" ]] ||
        refuse "$source${shown:+/$shown} has been replaced while it was mounted"
}

# of the file itself, not of what a link leads to
identity_of() {
    stat -c %d:%i -- "$1"
}

link_object() {
    ln -s "$(here)/$object" "$stage/$1"
}

# read_options OPTION... -- COMMAND...: sets `mounts`, of which each is SOURCE SUBPATH SHOWN COUNT ALLOWED..., `points`, of which
# each has the five words of --inner, and `command`.
read_options() {
    local allowed_count=0
    mounts=() points=()
    while [[ $1 != -- ]]; do
        case $1 in
            --mount)
                allowed_count=$((${#mounts[@]} + 3))
                mounts+=("${@:2:3}" 0)
                shift 4
                ;;
            --allowed)
                mounts[allowed_count]=$((mounts[allowed_count] + 1))
                mounts+=("$2")
                shift 2
                ;;
            --inner)
                points+=("${@:2:5}")
                shift 6
                ;;
            *) refuse "mounts.sh does not know the option $1" ;;
        esac
    done
    command=("${@:2}")
}

# each_source FUNCTION: calls the function with the number of each mount, in the folder of its source.
each_source() {
    local function=$1 number source sub shown object allowed
    set -- "${mounts[@]}"
    for ((number = 0; $#; number++)); do
        source=$1 sub=$2 shown=$3
        allowed=("${@:5:$4}")
        shift $((4 + $4))
        enter_source
        [[ -z $sub ]] || enter_sub
        "$function" "$number"
    done
    cd "$pod_folder" || refuse "the pod's folder is gone"
}

# each_point FUNCTION: calls the function in the folder of each mount that another one is mounted in.
each_point() {
    local function=$1 number into sub target mode shown object what source=''
    set -- "${points[@]}"
    while (($#)); do
        number=$1 into=$2 sub=$3 target=$4 mode=$5 what="mountPath $4"
        shift 5
        cd -P -- "$stage/$into" 2>/dev/null || refuse "$what is below a file"
        "$function"
    done
    cd "$pod_folder" || refuse "the pod's folder is gone"
}

# A mount that is bound keeps being read-only.
mount_inside() {
    [[ $mode == rw ]] || make_read_only "$stage/$number"
    enter_point
    mount --no-canonicalize --rbind "$stage/$number" "./$object" || refuse "$what cannot be mounted"
    [[ $object == . || $(identity_of "./$object") == "$(identity_of "$stage/$number")" ]] ||
        refuse "$what has been replaced while it was mounted"
}

# A user namespace may not take away what else holds for a mount.
make_read_only() {
    local options
    options=,$(findmnt --noheadings --output VFS-OPTIONS --target "$1" 2>/dev/null),
    options=${options//,rw,/,}
    mount -o "remount,bind,ro${options%,}" "$1" || refuse "$what cannot be made read-only"
}

# Enters the mount point, or the folder of one that is a file, and makes what is missing.
enter_point() {
    local name=${sub##*/} new
    if [[ -d $stage/$number ]]; then
        enter_sub
        [[ $object == . ]] || refuse "$what is a file"
        return
    fi
    sub=${sub%"$name"}
    enter_sub
    [[ $object == . ]] || refuse "$what leads through a file"
    object=$name
    [[ ! -L ./$name ]] || refuse "$what is a link"
    [[ ! -d ./$name ]] || refuse "$what is a folder"
    [[ ! -e ./$name ]] || return 0
    # a redirection would follow a link
    { new=$(mktemp "./.mount-XXXXXX") && mv -nT -- "$new" "./$name"; } 2>/dev/null
    rm -f -- "$new"
    [[ -f ./$name && ! -L ./$name ]] || refuse "$what could not be made in its volume"
}

# becomes the command
run_command() {
    exec -- "${prefix[@]}" "${command[@]}"
}

# --- where mounts are made --------------------------------------------------------------------------------------------

can_mount() {
    unshare --user --map-root-user --mount mount -t tmpfs none "$stage"
} 2>/dev/null

make_stage() {
    mount -t tmpfs -o mode=700 none "$stage" || refuse "no folder for mounts can be made on node $(hostname)"
}

# In a user namespace in which the account is root. The command gets another one below it, in which the account has its own
# id again, and no right over these mounts.
in_namespace() {  # UID GID OPTION... -- COMMAND...
    read_options "${@:3}"
    make_stage
    each_source bind_object
    each_point mount_inside
    (map_ids "$$" "$1" "$2" &)
    prefix=(unshare --user -- "$BASH" "$0" --mapped "$container")
    run_command
}

# The kernel lets only a process of the namespace above do this, once the new one is there.
map_ids() {
    local tries=1000
    while [[ /proc/$1/ns/user -ef /proc/self/ns/user ]]; do
        ((tries-- > 0)) || return
        sleep 0.01
    done
    echo deny >"/proc/$1/setgroups"
    echo "$2 0 1" >"/proc/$1/uid_map"
    echo "$3 0 1" >"/proc/$1/gid_map"
} 2>/dev/null

mapped() {
    local tries=1000
    until [[ -n $(</proc/self/gid_map) ]]; do
        ((tries-- > 0)) || refuse "no user namespace can be made on node $(hostname)"
        sleep 0.01
    done
    exec -- "$@"
}

# Such a namespace outlives a container, and is that of all ranks of an MPI program on a node: the first rank mounts for the
# others. $PPID is what starts them.
in_shared_namespace() {
    local tries=600 rank=${PMI_RANK-}${PMIX_RANK-}${OMPI_COMM_WORLD_RANK-}
    until mkdir "$stage.lock" 2>/dev/null || ((tries-- == 0)); do
        sleep 0.05
    done
    trap 'rmdir "$stage.lock" 2>/dev/null' EXIT
    [[ -z $rank || ! -e $stage/of-$starter ]] || return
    while umount --lazy "$stage" 2>/dev/null; do
        :
    done
    make_stage
    each_source bind_object
    : >"$stage/of-$starter"
}

# --- without namespaces -----------------------------------------------------------------------------------------------

# Each mount inside another one becomes an option of the runtime, right behind that of the other: OPTION SOURCE:TARGET:MODE.
name_inner_mounts() {
    local word words=() option=''
    for word in "${command[@]}"; do
        words+=("$word")
        [[ $word != .runner/mounts/"$container"/*:* ]] || name_those_in "${word%%:*}"
        option=$word
    done
    command=("${words[@]}")
}

name_those_in() {
    local index into=${1##*/} source
    for ((index = 0; index < ${#points[@]}; index += 5)); do
        [[ ${points[index + 1]} == "$into" ]] || continue
        source=.runner/mounts/$container/${points[index]}
        words+=("$option" "$source:${points[index + 3]}:${points[index + 4]}")
        name_those_in "$source"
    done
}

refusal='Error: '  # the beginning of a line in the container's log, which the runner quotes: see messages.sh
mounts=()
points=()
command=()
prefix=()
propagation=()
mode=''
enter=()  # runs a command in the shared namespace
if [[ $1 == --shared-namespace ]]; then
    shift
    while [[ $1 != -- ]]; do
        enter+=("$1")
        shift
    done
    shift
elif [[ $1 == --* ]]; then
    mode=$1
    shift
fi
container=$1
stage=$pod_folder/.runner/mounts/$1
shift
case $mode in
    --in-namespace) in_namespace "$@" ;;
    --mapped) mapped "$@" ;;
    --in-shared-namespace)
        starter=$1
        read_options "${@:2}"
        in_shared_namespace
        exit
        ;;
esac
read_options "$@"
(umask 077 && mkdir -p -- "$stage") || refuse "no folder for mounts can be made"
if ((${#enter[@]})); then
    "${enter[@]}" "$BASH" "$0" --in-shared-namespace "$container" "$PPID" "$@" || exit
elif can_mount; then
    # what the node mounts on demand (autofs) appears here, too; older ones do so anyway
    [[ $(unshare --help 2>&1) != *--propagation* ]] || propagation=(--propagation unchanged)
    exec unshare --user --map-root-user --mount "${propagation[@]}" -- "$BASH" "$0" --in-namespace "$container" "$EUID" "$(id -g)" "$@"
else
    rm -f -- "$stage"/*
    each_source link_object
    each_point enter_point
    name_inner_mounts
fi
run_command
