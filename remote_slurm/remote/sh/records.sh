# shellcheck shell=sh
# shellcheck disable=SC2154 # token, seen and owns are set in front of this text, and first_lines is root.sh's
# What the runners dropped into the spool since the last time. Files are moved before they are read, so that one that
# is renamed over while this runs is not lost; what was not reported as seen, by the names of earlier calls, is read
# again. A sidecar that does not own the folder takes nothing away.
#   >records          all were read

records() {
    enter_root || return
    superseded && return
    cd .remote-slurm || return
    if [ -z "$owns" ]; then
        find spool read -type f ! -name '.*' -exec sh -c "$first_lines" sh {} +
        reply records
        return
    fi
    for each in $seen; do
        case $each in
            *[!0-9a-z-]*) ;;
            *) rm -rf "read/$each" ;;
        esac
    done
    mkdir -p "read/$token"
    find spool -maxdepth 1 -type f ! -name '.*' -exec mv -t "read/$token" {} +
    find read -type f -exec sh -c "$first_lines" sh {} +
    reply records
}

records
