# shellcheck shell=bash
# Commands in a running container, with its files, processes, volumes and environment:
#
#   exec_mode nsenter|runtime|clone WORD...   for the next container: WORD... in front of a command runs it in the one that
#                                             runs (`runtime`: by a command of the runtime), or in another one of the same
#                                             image, /tmp, volumes and environment; `nsenter` enters the one that runs, if the
#                                             node allows it
#   exec_in_container COMMAND...              what probes and hooks call
#
# Measured with Apptainer 1.4: entering by nsenter takes 30 ms, another container 180 ms, and `apptainer instance` does
# not work with every image (it wants a start script) and leaves files in the home folder. If Apptainer is setuid, only
# root can join; then another container is started, which has the /tmp of the first, but not its processes.

cannot=78  # the exit code if neither the node nor the image has what an action needs (EX_CONFIG in sysexits.h)

exec_mode() {
    exec_mode=$1
    exec_words=("${@:2}")
}

exec_in_container() {
    (become_inside "$@")
}

# The same in the place of this shell.
become_inside() {
    local target
    if [[ $exec_mode == nsenter ]] && target=$(find_container_process "$child") && may_join "$target"; then
        umask 022
        join "$target" "$@"
    fi
    recheck_mounts || exit
    umask 022
    if declare -F -- "${exec_words[0]}" >/dev/null; then
        "${exec_words[@]}" "$@"
    else
        exec -- "${exec_words[@]}" "$@"
    fi
}

# What such a command has started may be no child of it, and outlive it in the container, as with `podman exec`.
end_exec() {
    local environ
    [[ $exec_mode == runtime ]] || return 0
    grep -lszxF "REMOTE_SLURM_ACTION=$REMOTE_SLURM_ACTION" /proc/[0-9]*/environ | while read -r environ; do
        kill -KILL "${environ//[!0-9]/}"
    done
} 2>/dev/null

# A runtime takes its time until the container's own command runs, above all where it unpacks an image for each start: there
# is nothing to join before, and what is said of hooks and probes counts from then, as on a kubelet.
await_container_process() {
    local until=$((SECONDS + 300))
    [[ $exec_mode == nsenter || $exec_mode == runtime ]] || return
    until is_container_running || ((SECONDS >= until)); do
        sleep 0.1
    done
    sleep 0.3  # the first process may be a shell of the runtime that has not read the variables yet
    process_started=$SECONDS
}

# Fails for the mode `clone`, which has no way to see the container.
container_has_ended() {
    [[ $exec_mode == nsenter || $exec_mode == runtime ]] && ! is_container_running
}

is_container_running() {
    if [[ $exec_mode == runtime ]]; then
        runtime_hook is_running "$name"
    else
        find_container_process "$child" >/dev/null
    fi
}

# The first from PID downwards that is the container's: a runtime becomes that itself, or stays in front of it.
find_container_process() {
    local pid
    is_in_container "$1" && echo "$1" && return
    for pid in $(children_of "$1"); do
        find_container_process "$pid" && return
    done
    return 1
} 2>/dev/null

# Whether it has a root of its own, and is neither the runtime nor a file system itself.
is_in_container() {
    local program
    program=$(readlink "/proc/$1/exe")
    [[ -n $program ]] && ! runtime_hook is_own_program "${program##*/}" && has_own mnt "$1" && ! [[ /proc/$1/root/. -ef /. ]]
}

children_of() {
    cat "/proc/$1/task/"*/children 2>/dev/null || ps -o pid= --ppid "$1"
}

may_join() {
    has_own user "$1" && nsenter --target "$1" --user --preserve-credentials true 2>/dev/null
}

# nsenter is a program of the node, whose loader and libc obey LD_PRELOAD, GCONV_PATH and others. So it gets no variable of
# the container under its own name: a clean bash renames them, and the container's /bin/sh gives them their names back.
# No value is in an argument of a program of the node. For an image without a shell, nsenter gets the variables that
# neither a loader nor libc reads, and the others are left out.
# Names that a shell cannot hold, or changes by itself, are set by a perl or python3 of the image. Without these, the names
# that no shell can hold are left out, since all users of the node can list arguments, and the shell's own are words of `env`.
# shellcheck disable=SC2016 # perl's variables
rename_in_perl='
    for (grep /^_rs_/, keys %ENV) {
        my $entry = delete $ENV{$_};
        if (/^_rs_entry_/) { my ($name, $value) = split /=/, $entry, 2; $ENV{$name} = $value }
    }
    exec { $ARGV[0] } @ARGV or do { print STDERR "$ARGV[0]: $!\n"; exit 127 }'
rename_in_python='
import os, sys
for each in [name for name in os.environb if name.startswith(b"_rs_")]:
    name, _, value = os.environb.pop(each).partition(b"=")
    if each.startswith(b"_rs_entry_"):
        os.environb[name] = value
os.execvp(sys.argv[1], sys.argv[1:])'
# shellcheck disable=SC2016 # the inner shells' own variables
enter_clean='
    unset PWD OLDPWD SHLVL
    export -n _rs_term
    _rs_shell=$2 _rs_words=$3 _rs_number=0 _rs_script="unset PWD OLDPWD SHLVL; " _rs_renamed="" _rs_own=""
    while IFS= read -r -d "" _rs_entry; do
        _rs_name=${_rs_entry%%=*}
        [[ $_rs_entry == *=* && $_rs_name != _ && $_rs_name != _rs_* ]] || continue
        _rs_variable=_rs_$((++_rs_number))
        case $_rs_name in
            *[!A-Za-z0-9_]* | [0-9]* | "")
                [[ -z $_rs_shell ]] || export "_rs_entry_$_rs_number=$_rs_entry"
                _rs_renamed+=" _rs_entry_$_rs_number"
                ;;
            BASH* | SHELLOPTS | UID | EUID | GID | PPID | OPTIND | LINENO | RANDOM | SRANDOM | \
                SECONDS | EPOCH* | GROUPS | DIRSTACK | FUNCNAME | HISTCMD | IFS | POSIXLY_CORRECT | PROMPT_COMMAND)
                [[ -z $_rs_shell ]] || export "_rs_entry_$_rs_number=$_rs_entry"
                _rs_renamed+=" _rs_entry_$_rs_number"
                _rs_own+=" \"\$_rs_entry_$_rs_number\""
                ;;
            *)
                if [[ -n $_rs_shell ]]; then
                    export "$_rs_variable=${_rs_entry#*=}"
                    _rs_script+="$_rs_name=\$$_rs_variable; export $_rs_name; unset $_rs_variable; "
                elif [[ ! $_rs_name =~ ^(LD_|GLIBC_|GCONV_|LOC|NLS|LANG|LC_|MALLOC_|TZ|RES|HOSTALIASES|TMPDIR|GETCONF_) ]]; then
                    export -- "$_rs_entry" 2>/dev/null
                fi
                ;;
        esac
    done < <([[ -z $_rs_term ]] || printf "TERM=%s\\0" "$_rs_term"; cat "/proc/$1/environ")
    shift 3
    if [[ -n $_rs_shell ]]; then
        [[ -z $_rs_renamed ]] || _rs_script+="if command -v perl >/dev/null 2>&1; then exec perl -e \"\$_rs_perl\" -- \"\$@\"
            elif command -v python3 >/dev/null 2>&1; then exec python3 -I -c \"\$_rs_python\" \"\$@\"; fi; "
        _rs_script+="${_rs_own:+set -- env$_rs_own \"\$@\"; }unset _rs_perl _rs_python$_rs_renamed; exec \"\$@\""
        set -- "${@:1:_rs_words}" /bin/sh -c "$_rs_script" sh "${@:_rs_words + 1}"
    else
        unset _rs_perl _rs_python
    fi
    exec "$@"'

# Replaces this shell. Only processes in its user namespace may open files of a FUSE mount, such as those of a SIF. There, the root
# is that of the mount namespace, and nsenter opens the folder from inside, if it can (util-linux 2.39).
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
    exec env -i "_rs_perl=$rename_in_perl" "_rs_python=$rename_in_python" "_rs_term=$exec_term" "$BASH" --norc --noprofile -c "$enter_clean" bash \
        "$1" "$(shell_of_image)" "${#nsenter[@]}" "${nsenter[@]}" "${@:2}"
}

# `yes`, or nothing if the image has no shell. Asked once for each run of a container.
shell_of_image() {
    local shell=''
    if ! read -r shell 2>/dev/null <"$run_prefix.shell"; then
        shell=$(env -i "${nsenter[@]}" /bin/sh -c 'echo yes' 2>/dev/null </dev/null)
        (umask 077 && printf '%s\n' "$shell" >"$run_prefix.shell") 2>/dev/null
    fi
    echo "$shell"
}
