# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # values are set in front of this text; folders_used is for root.sh, and first_lines is root.sh's
# Prints the records that runners wrote to the spool since the last call. Files are moved before they are read, so that a
# record that replaces another one meanwhile is not lost. Records are printed again until `seen` has the token of the call
# that printed them. Values, of which an empty one means no:
#   token     a new word for this call
#   seen      the tokens of calls whose replies have arrived: their records are removed
#   owns      the sidecar owns DataRootFolder; another one removes nothing
#   beats     the owner writes a mark, so that older sidecars know that it is alive: see heartbeat in root.sh
#   ended     the payload has the names of pods whose jobs have ended, one per line: a killed job could not remove its secrets
#   carried   the secrets are in job.sh as well, which has carried them to a node (SHARED_FS: false)
# Replies:
#   >newer EPOCH MARK a newer sidecar owns the folder; MARK is empty if it writes none, as sidecars before 0.2
#   >older acted      an older sidecar has submitted or deleted pods: see notify_owner in root.sh
#   >uncleared        some secrets of the ended pods could not be removed
#   >records          all were read

folders_used=''

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
holds_files() {  # FOLDER...
    for folder; do
        for file in "$folder"/*; do
            [ "$file" = "$folder/*" ] || return 0
        done
    done
    return 1
}

take_spool() {
    for each in $seen; do
        case $each in
            *[!0-9a-z-]*) ;;
            *) rm -rf "read/$each" ;;
        esac
    done
    if holds_files spool; then
        move_records
    elif [ ! -d spool ]; then
        make_root
    fi
    read_records read/*
}

# BSD's mv has no -t. That of coreutils tries without it to replace the folder by a file.
move_records() {
    mkdir "read/$token" 2>/dev/null || mkdir -p "read/$token"
    # shellcheck disable=SC2016 # the inner shell's own variables
    find spool -maxdepth 1 -type f -user "$(id -u)" ! -name '.*' \
        -exec sh -c 'mv -t "$0" -- "$@" 2>/dev/null || mv -- "$@" "$0"' "read/$token" {} +
}

# Of what move_records has moved.
read_records() {  # FOLDER...
    holds_files "$@" || return 0
    for folder; do
        for file in "$folder"/*; do
            IFS= read -r line <"$file" && printf '%s\n' "$line"
        done
    done 2>/dev/null
}

records() {
    enter_root || return
    if is_superseded; then
        reply_newer
        owns=
    fi
    [ -z "$owns" ] || [ -z "$beats" ] || heartbeat "$token"
    cd .remote-slurm 2>/dev/null || { make_root && cd .remote-slurm; } || return
    unset PWD  # other shells would compare it with the folder
    if [ -n "$owns" ]; then
        take_spool
        [ -z "$ended" ] || remove_secrets || reply uncleared
    elif holds_files spool read/*; then
        find spool read -type f -user "$(id -u)" ! -name '.*' -exec sh -c "$first_lines" sh {} +
    fi
    reply records
}

records
