# shellcheck shell=sh
# shellcheck disable=SC2154 # kept is set in front of this text
# Looks after the scripts that pods share. Libraries that pods name in their job.sh, and `kept` ones, are touched: sites purge
# files that have not been used for some weeks. One that was changed is removed, and so is one that no pod has named for a day. A
# submission sends what is missing.
#   >tended           all were looked at

libraries_in_use() {
    find . -mindepth 2 -maxdepth 2 -name job.sh -exec sed -n 's|^lib=\.\./\.remote-slurm/lib/||p' {} + | sort -u | tr '\n' ' '
}

# Whether the list has the library.
lists() {  # LIST LIBRARY
    case " $1 " in
        *" $2 "*) ;;
        *) return 1 ;;
    esac
}

# Another sidecar may be about to submit a pod that names the library. It looks for the library after the folder of the pod has
# appeared: either it finds none, or this second look finds the pod.
remove_library() {  # LIBRARY
    mv -- ".remote-slurm/lib/$1" "$removed" || return
    if lists "$(libraries_in_use)" "$1"; then
        mv -- "$removed" ".remote-slurm/lib/$1"
    else
        rm -rf -- "$removed"
    fi
}

tend_library() {  # LIBRARY
    if ! lists "$in_use $kept" "$1"; then
        [ -z "$(find ".remote-slurm/lib/$1" -maxdepth 0 -mmin +1440)" ] || remove_library "$1"
    elif is_whole "$1"; then
        touch -c ".remote-slurm/lib/$1" ".remote-slurm/lib/$1"/*
    else
        mv -- ".remote-slurm/lib/$1" "$removed" && rm -rf -- "$removed"
    fi
}

tend_libraries() {
    enter_root || return
    superseded && return
    removed=.remote-slurm/incoming/lib.$$
    in_use=$(libraries_in_use)
    for library in .remote-slurm/lib/*; do
        [ ! -d "$library" ] || tend_library "${library##*/}"
    done
    reply tended
}

tend_libraries
