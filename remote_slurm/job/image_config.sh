# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # sourced after runner.sh, whose variables it uses
# What the OCI configuration of an image says, and Apptainer and Podman do not do. job.sh says, before it starts a container:
#
#   image_config apptainer IMAGE own|image PROGRAM...   in a SIF that Apptainer built of an OCI image lies its configuration;
#                                                 `image`: the container has no workingDir of its own
#   image_config podman IMAGE own|image PROGRAM...      Podman heeds all but the stop signal
#   image_gives_command NAME                      the container has no command and no args: the image must name the program
#
# Apptainer ignores WORKDIR, HOME and STOPSIGNAL, and its script 10-docker2singularity.sh evaluates the values of ENV.

image_config=()
docker_script=/.singularity.d/env/10-docker2singularity.sh

image_config() {
    image_config=("$@")
}

image_gives_command() {
    program_from=$1
}

# In the supervisor, once the image is there.
apply_image_config() {
    local image_env=() image_dir='' image_volumes=() image_stop='' text='' image_read=''
    if ((${#image_config[@]})); then
        case ${image_config[0]} in
            podman) image_stop=$("${image_config[@]:3}" image inspect --format '{{.Config.StopSignal}}' "${image_config[1]}") ;;
            *) text=$(config_in_sif "${image_config[1]}" "${image_config[@]:3}") && parse_image_config "$text" ;;
        esac 2>/dev/null
    fi
    image_stop=${image_stop#SIG}
    [[ $image_stop =~ ^[A-Z0-9+-]+$ ]] || image_stop=TERM
    stop_signal=${stop_signal:-$image_stop}
    [[ -z $text ]] || give_to_apptainer
    # Apptainer starts a shell that prints its variables, with exit code 0
    if [[ -n $program_from && -n $image_read ]] && ((${#image_program[@]} == 0)); then
        no_image_reason=CreateContainerError
        no_image="image $program_from names no program (it has neither ENTRYPOINT nor CMD): set command for container '$name'"
        end_without_image
    fi
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

json_quote='\"'
json_string='^[[:space:],]*"(([^"\\]|\\.)*)"[[:space:]]*(:?)'
json_bracket='^[[:space:],]*([][{}])'
json_other='^[[:space:],]*[^][{},"[:space:]]+'

# Sets image_env, image_dir, image_volumes, image_stop and image_program by the members Env, WorkingDir, Volumes, StopSignal,
# Entrypoint and Cmd of the JSON object, and image_read if the object is complete.
parse_image_config() {
    local text=$1 depth=0 member='' string image_entrypoint=() image_cmd=() LC_ALL=C
    while :; do
        if [[ $text =~ $json_string ]]; then
            printf -v string %b "${BASH_REMATCH[1]//"$json_quote"/\\x22}"
            if [[ -n ${BASH_REMATCH[3]} ]]; then
                ((depth > 1)) || member=$string
                [[ $depth.$member != 2.Volumes ]] || image_volumes+=("$string")
            else
                case $depth.$member in
                    1.WorkingDir) image_dir=$string ;;
                    1.StopSignal) image_stop=$string ;;
                    2.Env) image_env+=("$string") ;;
                    2.Entrypoint) image_entrypoint+=("$string") ;;
                    2.Cmd) image_cmd+=("$string") ;;
                esac
            fi
        elif [[ $text =~ $json_bracket ]]; then
            case ${BASH_REMATCH[1]} in
                '{' | '[') depth=$((depth + 1)) ;;
                *)
                    depth=$((depth - 1))
                    ((depth)) || image_read=yes
                    ;;
            esac
        elif ! [[ $text =~ $json_other ]]; then
            image_program=("${image_entrypoint[@]}" "${image_cmd[@]}")
            return 0
        fi
        text=${text:${#BASH_REMATCH[0]}}
    done
}

# The variables take the place of Apptainer's script, which may not even be shell (`$(` in a value). Apptainer also puts
# folders of its own behind PATH. What its interpreter cannot hold, or has read-only, are words of `env`, if the image has
# one. A volume without a folder gets one.
# shellcheck disable=SC2016 # the variables of Apptainer's interpreter
give_to_apptainer() {
    local entry quoted script=.runner/$name.image-env.sh odd='' volume
    if [[ ${image_config[2]} == image && -n $image_dir ]]; then
        export APPTAINER_PWD=$image_dir SINGULARITY_PWD=$image_dir
        work_in_image "$image_dir" apptainer
    fi
    ((${#image_env[@]} + ${#image_volumes[@]})) || return 0
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
    export APPTAINER_BIND="${APPTAINER_BIND:+$APPTAINER_BIND,}$script:$docker_script:ro"
    export SINGULARITY_BIND="${SINGULARITY_BIND:+$SINGULARITY_BIND,}$script:$docker_script:ro"
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

# Sets `words` to the command. Apptainer's interpreter runs the program of an image (`run`) by a script, which drops such
# variables: then the words of the image are the command.
run_image_program() {
    local word place='' program=()
    words=()
    [[ -z $has_odd || -z $program_from ]] || program=("${image_program[@]}")
    for word; do
        if ((${#program[@]})); then
            if [[ -z $place && $word == run ]]; then
                place=run word=exec
            elif [[ $place == run && $word == "${image_config[1]}" ]]; then
                words+=("$word" "${program[@]}")
                program=()
                continue
            fi
        fi
        words+=("$word")
    done
}
