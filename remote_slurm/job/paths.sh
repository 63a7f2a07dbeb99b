# shellcheck shell=bash
# Paths that containers can change while they are used. A path that was checked may be another one when it is used, so the
# process enters the folder, asks the kernel where that is, and goes on from there: what is checked is what is used.
# Call these functions in a subshell: they change the current folder, and end the shell with a message if they refuse.

pod_folder=$(readlink /proc/self/cwd)
refusal=''  # what comes before each message

refuse() {
    echo "$refusal$*" >&2
    exit 125
}

# lies_in PATH FOLDER...: all of them without links. The slash is in the quotes: to bash 4.2, "" before it is no empty text.
lies_in() {
    local path=${1%/}/ folder
    shift
    for folder; do
        [[ $path == "${folder%/}/"* ]] && return
    done
    return 1
}

here() {
    readlink /proc/self/cwd
}

# Enters the folder $source, or the folder of the file $source. Sets `object` to its name there, `.` for a folder.
enter_source() {
    local real expected index
    for index in "${!allowed[@]}"; do
        allowed[index]=$(readlink -m -- "${allowed[index]}")
    done
    object=.
    if [[ $source != /* && -f $pod_folder/$source ]]; then
        # the runner has made it, where no container writes
        { real=$(readlink -f -- "$pod_folder/$source") && cd -P -- "${real%/*}/"; } || refuse "$source is not there"
        object=${real##*/}
    elif [[ $source != /* ]]; then
        # the runner has made it: a folder, or a link to one that it made elsewhere on the node
        expected=$(readlink -- "$pod_folder/$source") || expected=$pod_folder/$source
        cd -P -- "$pod_folder/$source" && [[ $(here) == "$expected" ]] || refuse "volume $source has been replaced"
    elif [[ -d $source ]]; then
        cd -P -- "$source" || refuse "hostPath $source cannot be entered"
        refuse_unless_allowed "$(here)"
    else
        { real=$(readlink -f -- "$source") && cd -P -- "${real%/*}/"; } || refuse "hostPath $source is not there"
        object=${real##*/}
        real=$(here)
        refuse_unless_allowed "${real%/}/$object"
    fi
}

# Without AllowedHostPaths a pod may mount whatever the account may read.
refuse_unless_allowed() {
    local own
    ((${#allowed[@]})) || return 0
    lies_in "$1" "${allowed[@]}" ||
        refuse "hostPath $source leads to $1 on node $(hostname), which AllowedHostPaths does not allow"
    for own in "${pod_folder%/*}" "$pod_folder"/scratch "$pod_folder"/volumes/*; do
        own=$(readlink -f -- "$own") || continue
        if lies_in "$1" "$own" || lies_in "$own" "$1"; then
            refuse "hostPath $source leads to $1 on node $(hostname), which contains or is in a folder of remote-slurm ($own)"
        fi
    done
}

# Goes down $sub from the current folder, component by component, and makes the folders that are missing. Sets `object` as
# enter_source does.
enter_sub() {
    local base components component real what=${what-"subPath $shown of $source"}
    base=$(here)
    IFS=/ read -ra components <<<"$sub"
    object=.
    for component in "${components[@]}"; do
        [[ $object == . ]] || refuse "$what leads through a file"
        if [[ -d ./$component ]]; then
            cd -P -- "./$component" 2>/dev/null || refuse "$what cannot be entered"
        elif [[ -e ./$component ]]; then
            { real=$(readlink -f -- "./$component") && cd -P -- "${real%/*}/"; } || refuse "$what cannot be read"
            object=${real##*/}
        else
            { mkdir -m 755 -- "./$component" && cd -P -- "./$component"; } 2>/dev/null ||
                refuse "$what could not be made in its volume"
        fi
        lies_in "$(here)" "$base" || refuse "$what leads out of ${root:-its volume}"
    done
}
