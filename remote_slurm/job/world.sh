# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # stands behind runner.sh, whose variables it uses
# Commands in the world of a running container: its files, processes, volumes and environment.
#
#   world joined|entered|alike WORD...   for the next container: WORD... in front of a command runs it in the one that
#                                        runs (`entered`: podman exec), or in another one of the same image, /tmp, volumes
#                                        and environment; `joined` tries to join the one that runs first
#   inside COMMAND...            what probes and hooks call
#
# Measured with Apptainer 1.4: joining by nsenter takes 30 ms, another container 180 ms, and `apptainer instance` does
# not work with every image (it wants a start script) and leaves files in the home folder. Where Apptainer is setuid,
# nobody but root can join; then it is another container, which has the /tmp, but not the processes of the first.

world() {
    joins=$1
    world=("${@:2}")
}

inside() {
    local target
    if [[ $joins == joined ]] && target=$(first_process "$child") && may_join "$target"; then
        join "$target" "$@"
    else
        (may_mount && "${world[@]}" "$@")
    fi
}

# What `podman exec` has started is no child of it, and outlives it in the container.
end_entered() {
    local environ
    [[ $joins == entered ]] || return 0
    grep -lszxF "REMOTE_SLURM_ACTION=$REMOTE_SLURM_ACTION" /proc/[0-9]*/environ | while read -r environ; do
        kill -KILL "${environ//[!0-9]/}"
    done
} 2>/dev/null

# A runtime takes its time until the container's own command runs, above all where it unpacks an image for each start: there
# is nothing to join before, and what is said of hooks and probes counts from then, as on a kubelet.
await_world() {
    local until=$((SECONDS + 300))
    [[ $joins == joined || $joins == entered ]] || return
    until is_there || ((SECONDS >= until)); do
        sleep 0.1
    done
    sleep 0.3  # a shell of the runtime's may stand there first, which has not read the variables yet
    born=$SECONDS
}

# Where there is nothing to join or to enter, nobody can tell.
has_ended() {
    [[ $joins == joined || $joins == entered ]] && ! is_there
}

is_there() {
    if [[ $joins == entered ]]; then
        [[ $("${podman[@]}" container inspect --format '{{.State.Running}}' "$podman_prefix$name" 2>/dev/null) == true ]]
    else
        first_process "$child" >/dev/null
    fi
}

# The first from PID downwards that is the container's: Enroot becomes that itself, Apptainer stays in front of it.
first_process() {
    local pid
    is_in_container "$1" && echo "$1" && return
    for pid in $(children_of "$1"); do
        first_process "$pid" && return
    done
    return 1
} 2>/dev/null

# Whether it has a root of its own, and is neither the runtime nor a file system itself.
is_in_container() {
    local program
    program=$(readlink "/proc/$1/exe")
    case ${program##*/} in
        '' | starter* | apptainer | singularity | enroot* | squashfuse* | fuse* | gocryptfs) return 1 ;;
        *) has_own mnt "$1" && ! [[ /proc/$1/root/. -ef /. ]] ;;
    esac
}

children_of() {
    cat "/proc/$1/task/"*/children 2>/dev/null || ps -o pid= --ppid "$1"
}

has_own() {
    local theirs
    theirs=$(readlink "/proc/$2/ns/$1") && [[ $theirs != "$(readlink "/proc/self/ns/$1")" ]]
}

may_join() {
    has_own user "$1" && nsenter --target "$1" --user --preserve-credentials true 2>/dev/null
}

# The values of the environment are nobody's business: a shell of its own, that has no variables of ours, exports them,
# and they stand in no command line. Names that no shell knows go as words of the container's `env`.
# shellcheck disable=SC2016 # that shell's own variables
take_environment='
    unset PWD OLDPWD SHLVL
    _rs_odd=()
    while IFS= read -r -d "" _rs_entry; do
        [[ $_rs_entry == _rs_* ]] || export -- "$_rs_entry" 2>/dev/null || _rs_odd+=("$_rs_entry")
    done <"/proc/$1/environ"
    shift
    ((${#_rs_odd[@]})) && set -- "${@:2:$1}" env "${_rs_odd[@]}" "${@:$1 + 2}" || shift
    exec "$@"'

# What FUSE shows, as the files of a SIF, nobody may open who is not in its user namespace yet: there the root is the one of
# the mount namespace, and the folder is opened from inside, where nsenter can (util-linux 2.39).
join() {
    local kind nsenter=(--target "$1" --preserve-credentials)
    [[ ! -d /proc/$1/root/. ]] || nsenter+=(--root)
    if [[ -d /proc/$1/cwd/. ]]; then
        nsenter+=(--wd)
    elif nsenter --help | grep -q -e --wdns; then
        nsenter+=("--wdns=$(readlink "/proc/$1/cwd")")
    fi
    for kind in user mnt pid ipc net uts; do
        has_own "$kind" "$1" && nsenter+=("--${kind/mnt/mount}")
    done
    nsenter=("$(type -P nsenter)" "${nsenter[@]}" --)
    env -i "$BASH" --norc --noprofile -c "$take_environment" bash "$1" "${#nsenter[@]}" "${nsenter[@]}" "${@:2}"
}
