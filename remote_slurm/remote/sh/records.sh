# shellcheck shell=sh
# shellcheck disable=SC2154 # token and seen are set in front of this text
# What the runners dropped into the spool since the last time. Files are moved before they are read, so that one that
# is renamed over while this runs is not lost; what was not reported as seen is read again.
#   >records          all were read

records() {
    enter_root || return
    cd .remote-slurm || return
    case $seen in
        "" | *[!0-9a-z-]*) ;;
        *) rm -rf "read/$seen" ;;
    esac
    mkdir -p "read/$token"
    find spool -maxdepth 1 -type f ! -name '.*' -exec mv -t "read/$token" {} +
    find read -type f -exec cat {} +
    reply records
}

records
