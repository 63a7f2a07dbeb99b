# shellcheck shell=bash
# What the OCI configuration of an image says, and its runtime does not do. job.sh says, before it starts a container:
#
#   image_config IMAGE own|image PROGRAM...   the runtime's own function reads the configuration of IMAGE by PROGRAM;
#                                             `image`: the container has no workingDir of its own
#   image_gives_command NAME                  the container has no command and no args: the image must name the program

image_config() {
    image_config=("$@")
}

image_gives_command() {
    program_from=$1
}

# In the supervisor, once the image is there.
apply_image_config() {
    local image_env=() image_dir='' image_volumes=() image_stop='' image_read=''
    if ((${#image_config[@]})); then
        runtime_hook read_image_config "${image_config[0]}" "${image_config[@]:2}" 2>/dev/null
    fi
    image_stop=${image_stop#SIG}
    [[ $image_stop =~ ^[A-Z0-9+-]+$ ]] || image_stop=TERM
    stop_signal=${stop_signal:-$image_stop}
    runtime_hook apply_image_config
    # a runtime may start a shell in its place, which ends with exit code 0
    if [[ -n $program_from && -n $image_read ]] && ((${#image_program[@]} == 0)); then
        no_image_reason=CreateContainerError
        no_image="image $program_from names no program (it has neither ENTRYPOINT nor CMD): set command for container '$name'"
        end_without_image
    fi
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
