# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # folders_used is for root.sh; token, seen, owns, ended and carried are set in front of this text, and first_lines is root.sh's
# Prints the records that runners wrote to the spool since the last call. Files are moved before they are read, so that a
# record that replaces another one meanwhile is not lost. Records are printed again until `seen` has the token of the call
# that printed them. A sidecar that does not own the folder removes nothing.
# If `ended` is not empty, the payload has the names of pods whose jobs have ended, one per line: a killed job could not
# remove its secrets, which are in job.sh as well if the script has `carried` them to a node.
#   >newer EPOCH MARK a newer sidecar owns the folder; MARK is empty if it writes none, as sidecars before 0.2
#   >older acted      an older sidecar has submitted or deleted pods: see notify_owner in root.sh
#   >records          all were read

folders_used=spool

remove_secrets() {
    take_lines || return
    set --
    for pod in $lines; do
        set -- "$@" "$root/$pod/secret"
        [ -z "$carried" ] || cut_script "$root/$pod"
    done
    timeout -k 5 10 rm -rf -- "$@" 2>/dev/null && return
    timeout -k 5 10 chmod -R u+rwX -- "$@" 2>/dev/null
    timeout -k 5 10 rm -rf -- "$@" 2>/dev/null
}

cut_script() {  # FOLDER
    sed '/^# --- files of the pod/q' "$1/job.sh" >"$1/.job.sh" && mv -f "$1/.job.sh" "$1/job.sh"
} 2>/dev/null

# The mark changes as long as the owner is alive: see heartbeat in root.sh.
reply_newer() {
    newest=
    for each in .remote-slurm/owners/*; do
        [ "${each##*/}" -ge "${newest:-0}" ] 2>/dev/null && newest=${each##*/}
    done
    mark=
    # shellcheck disable=SC2015 # a file that is not there leaves the mark empty
    [ -n "$newest" ] && read -r mark <".remote-slurm/owners/.$newest" || true
    reply "newer $newest${mark:+ $mark}"
} 2>/dev/null

# Most polls find nothing new. They start no process here, since processes are the cost of a poll on a login node.
holds_files() {
    for folder; do
        for file in "$folder"/*; do
            [ -e "$file" ] && return
        done
    done
    return 1
}

take_spool() {
    for each in $seen; do
        case $each in
            *[!0-9a-z-]*) ;;
            *) [ ! -e "read/$each" ] || rm -rf "read/$each" ;;
        esac
    done
    if holds_files spool; then
        mkdir -p "read/$token"
        # not `mv -t`, which BSD lacks
        # shellcheck disable=SC2016 # the inner shell's own variables
        find spool -maxdepth 1 -type f -user "$(id -u)" ! -name '.*' -exec sh -c 'mv -- "$@" "$0"' "read/$token" {} +
    fi
    holds_files read/* && find read -type f -exec sh -c "$first_lines" sh {} +
}

records() {
    enter_root || return
    if is_superseded; then
        reply_newer
        owns=
    fi
    [ -z "$owns" ] || heartbeat "$token"
    cd .remote-slurm || return
    if [ -n "$owns" ]; then
        take_spool
        [ -z "$ended" ] || remove_secrets
    elif holds_files spool read/*; then
        find spool read -type f -user "$(id -u)" ! -name '.*' -exec sh -c "$first_lines" sh {} +
    fi
    reply records
}

records
