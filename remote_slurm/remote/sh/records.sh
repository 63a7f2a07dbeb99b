# shellcheck shell=sh
# shellcheck disable=SC2154 # token and seen are set in front of this text, and first_lines is root.sh's
# What the runners dropped into the spool since the last time. Files are moved before they are read, so that one that
# is renamed over while this runs is not lost; what was not reported as seen, by the names of earlier calls, is read
# again.
#   >records          all were read

records() {
    enter_root || return
    cd .remote-slurm || return
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
