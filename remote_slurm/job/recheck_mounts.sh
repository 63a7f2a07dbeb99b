# shellcheck shell=bash
# Checks again what was checked before it was mounted, for a restart or a probe: a container may have put a link there meanwhile.

# Remember a check.
guard() {
    [[ -z $guarding ]] || guarded+=("$(printf '%q ' "$@")")
}

recheck_mounts() {
    local guarding='' each
    for each in "${guarded[@]}"; do
        eval "$each"
    done
    [[ -z $failed ]]
}
