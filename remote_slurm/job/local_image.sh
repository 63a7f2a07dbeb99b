# shellcheck shell=bash
# Images that are files at the site, if the policy has AllowedImages:
#
#   local_image PATH PATTERN...   the image must be one of AllowedImages with all links followed

local_image() {
    local path=$1 real pattern folder
    guard local_image "$@"
    real=$(readlink -m -- "$path")
    shift
    for pattern; do
        # the folders that are named in full may be links of the site's own
        folder=${pattern%%[]*?[]*}
        if [[ $folder == "$pattern" ]]; then
            [[ $real == "$(readlink -m -- "$pattern")" ]] && return
        else
            folder=${folder%/*}
            # shellcheck disable=SC2053 # the rest is a pattern
            [[ $real == "$(readlink -m -- "${folder:-/}")"${pattern:${#folder}} ]] && return
        fi
    done
    fail NotStarted "image $path leads to $real on node $(hostname), which AllowedImages does not allow"
}
