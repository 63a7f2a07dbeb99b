# shellcheck shell=bash
# What Apptainer and Singularity do in their own way: the runner's runtime_hook calls these functions.
#
#   use_apptainer           containers run under Apptainer or Singularity
#   in_pod_ipc COMMAND...   becomes the command, in the pod's IPC namespace
#
# A SIF that Apptainer built from an OCI image contains the OCI configuration. Apptainer ignores WORKDIR, HOME and STOPSIGNAL,
# and its script 10-docker2singularity.sh evaluates the values of ENV.

docker_script=/.singularity.d/env/10-docker2singularity.sh

use_apptainer() {
    runtime=apptainer
}

apptainer_is_log_line() {
    case $1 in
        '255 FATAL:   '* | '255 ERROR  : '* | '255 WARNING: '* | '255 INFO:    '*) ;;
        *) return 1 ;;
    esac
}

apptainer_is_start_error() {
    case $1 in
        '255 FATAL:   '*) ;;
        # Apptainer, a Go program, got the signal before it could start the container's program
        '2 ') was_stopped ;;
        *) return 1 ;;
    esac
}

# Apptainer's own processes are ancestors of the container's first process, as are the programs that mount a SIF.
apptainer_is_own_program() {
    [[ $1 == starter* || $1 == apptainer || $1 == singularity || $1 == squashfuse* || $1 == fuse* || $1 == gocryptfs ]]
}

apptainer_pass_variable() {
    export "APPTAINERENV_$1=$2" "SINGULARITYENV_$1=$2"
}

# Singularity and Apptainer each read their own variable only.
apptainer_bind() {
    export APPTAINER_BIND="${APPTAINER_BIND:+$APPTAINER_BIND,}$1" SINGULARITY_BIND="${SINGULARITY_BIND:+$SINGULARITY_BIND,}$1"
}

# --- the IPC namespace of the pod --------------------------------------------------------------------------------------------

enter_ipc=()  # the words that enter it

# The account may enter a user namespace that it created, without any privilege. Apptainer that is setuid root cannot run
# there.
apptainer_start_ipc_keeper() {  # PROGRAM
    type -P nsenter >/dev/null && [[ $("$1" buildcfg 2>/dev/null) != *SUID_INSTALL=1* ]] || return
    unshare --user --ipc sleep 2147483647 </dev/null >/dev/null 2>&1 &
    keeper=$!
    disown "$keeper"
    background_pids+=("$keeper")
}

apptainer_use_ipc() {  # KEEPER
    map_own_ids "$1" || return
    enter_ipc=("$(type -P nsenter)" --preserve-credentials --target "$1" --user --ipc --)
    if "${enter_ipc[@]}" true; then
        # shellcheck disable=SC2034 # job.sh uses it
        ipc_option=--pid
    else
        enter_ipc=()
    fi
}

map_own_ids() {
    local group
    group=$(id -g)
    echo deny >"/proc/$1/setgroups"
    echo "$EUID $EUID 1" >"/proc/$1/uid_map" && echo "$group $group 1" >"/proc/$1/gid_map"
}

in_pod_ipc() {
    become "${enter_ipc[@]}" "$@"
}

# --- the working directory -----------------------------------------------------------------------------------------------

apptainer_lacks_working_dir() {
    [[ $1 == *'set working directory'* ]]
}

apptainer_mount_working_dir() {  # FOLDER PATH
    apptainer_bind "$1:$2"
}

# --- the configuration of an image ---------------------------------------------------------------------------------------

apptainer_read_image_config() {  # IMAGE PROGRAM...
    local text
    text=$(config_in_sif "$@") && [[ -n $text ]] && parse_image_config "$text"
}

config_in_sif() {
    local image=$1 id type
    shift
    [[ -f $image ]] || return
    "$@" sif list "$image" | while IFS='|' read -r id _ _ _ type; do
        id=${id//[!0-9]/}
        [[ $type == *JSON* && $("$@" sif info "$id" "$image" </dev/null) == *oci-config.json* ]] || continue
        "$@" sif dump "$id" "$image"
        break
    done
}

# The variables take the place of Apptainer's script, which may not even be shell (`$(` in a value). Apptainer also puts
# folders of its own behind PATH. What its interpreter cannot hold, or has read-only, are words of `env`, if the image has
# one. A volume without a folder gets one.
# shellcheck disable=SC2016 # the variables of Apptainer's interpreter
apptainer_apply_image_config() {
    local entry quoted script=.runner/$name.image-env.sh odd='' volume
    if [[ ${image_config[1]} == image && -n $image_dir ]]; then
        export APPTAINER_PWD=$image_dir SINGULARITY_PWD=$image_dir
        work_in_image "$image_dir"
    fi
    ((${#image_env[@]} + ${#image_volumes[@]})) || return 0
    mkdir -p .runner
    {
        for entry in "${image_env[@]}"; do
            quote_for_sh "${entry#*=}"
            if ! is_odd_entry "$entry"; then
                printf 'export %s=%s\n' "${entry%%=*}" "$quoted"
                [[ $entry != PATH=* ]] || printf '_image_path=$PATH\n'
            elif ! pod_has "${entry%%=*}"; then
                quote_for_sh "$entry"
                odd+=" $quoted"
            fi
        done
        [[ -z $odd ]] || printf 'if test "${__apptainer_cmd__:-${__singularity_cmd__:-}}" = exec && command -v env >/dev/null; then
    set -- env%s "$@"\nfi\n' "$odd"
        for volume in "${image_volumes[@]}"; do
            quote_for_sh "$volume"
            printf 'test -e %s || { /bin/mkdir -p %s || /usr/bin/mkdir -p %s; } 2>/dev/null\n' "$quoted" "$quoted" "$quoted"
        done
    } >"$script"
    has_odd=$odd
    apptainer_bind "$script:$docker_script:ro"
}

# Sets `quoted`.
quote_for_sh() {
    local quote="'" in_quotes="'\"'\"'"
    quoted=$quote${1//$quote/$in_quotes}$quote
}

is_odd_entry() {
    [[ ! $1 =~ ^[A-Za-z_][A-Za-z0-9_]*= || $1 =~ ^(UID|EUID|GID|PPID|IFS|OPTIND|PWD|OLDPWD|SHLVL|PROMPT_COMMAND)= ]]
}

# Whether the pod has a variable of this name, which no shell can hold.
pod_has() {
    local entry
    while IFS= read -r -d '' entry; do
        [[ ${entry%%=*} != "$1" ]] || return 0
    done 2>/dev/null <"secret/odd-env/$name"
    return 1
}

# `apptainer run` starts the program of an image by a script, which drops variables with names that no shell can hold. Then
# this replaces `run` by `exec`, and appends the image's own command. `run` follows the words of the program, which may
# contain another `run` (RuntimePrefix). The image is the last word, since the container has neither command nor args.
apptainer_adjust_command() {
    local index count program=("${image_config[@]:2}" --silent run) IFS=$'\x1f'
    [[ -n $has_odd && -n $program_from ]] || return 0
    count=${#program[@]}
    for ((index = 0; index + count <= $#; index++)); do
        [[ "${words[*]:index:count}" == "${program[*]}" ]] || continue
        words[index + count - 1]="exec"
        words+=("${image_program[@]}")
        return
    done
}
