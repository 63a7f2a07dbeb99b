# shellcheck shell=sh
# shellcheck disable=SC2154 # take_lines of root.sh sets lines
# Prints the records and the fences of some pods, whose names are the payload, one per line.
#   >fence POD ID     the job in the fence
#   >inspected        all were read

folders() {
    printf '%s' "$lines" | while IFS= read -r pod; do
        [ ! -L ".remote-slurm/claims/$pod.job" ] || reply "fence $pod $(readlink ".remote-slurm/claims/$pod.job")" >&3
        [ ! -d "$pod/records" ] || printf '%s/records\0' "$pod"
    done
}

inspect_pods() {
    enter_root && take_lines || return
    export first_lines
    # shellcheck disable=SC2016 # the inner shell's own variables
    folders | xargs -0 -r sh -c 'find "$@" -type f ! -name ".*" -exec sh -c "$first_lines" sh {} +' sh
    reply inspected
}

inspect_pods 3>&1
