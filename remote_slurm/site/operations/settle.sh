# shellcheck shell=sh
# shellcheck disable=SC2154 # lines is what root.sh takes of the payload
# The records in the folders of some pods, whose names come as the payload, one on a line.
#   >claim POD ID     the job whose containers run, or ran
#   >settled          all were read

folders() {
    printf '%s' "$lines" | while IFS= read -r pod; do
        [ ! -L ".remote-slurm/claims/$pod.job" ] || reply "claim $pod $(readlink ".remote-slurm/claims/$pod.job")" >&3
        [ ! -d "$pod/records" ] || printf '%s/records\0' "$pod"
    done
}

settle() {
    enter_root && take_lines || return
    export first_lines
    # shellcheck disable=SC2016 # the inner shell's own variables
    folders | xargs -0 -r sh -c 'find "$@" -type f ! -name ".*" -exec sh -c "$first_lines" sh {} +' sh
    reply settled
}

settle 3>&1
