# shellcheck shell=sh
# shellcheck disable=SC2154 # root, sidecar and epoch are set in front of this text; pod, id and scontrol by who calls release_job
# Goes in front of every other script here: enters DataRootFolder. `root` is its full path as the configuration and $HOME
# name it, which login and compute nodes share; `real_root` is the path without links, which may exist on this login node
# only. Versions before 0.2 submitted jobs by the real path.
# An answer is a line that starts with '>'; whatever else comes is a message of some command.

unset CDPATH  # profiles set it for people

# For `find -exec sh -c`: the first line of each file. A line that is cut off is none: `read` fails then.
# shellcheck disable=SC2016,SC2034 # the inner shell's own variables
first_lines='for file; do IFS= read -r line <"$file" && printf "%s\n" "$line"; done'

# Likewise: the name and modification time of each file, by the stat of GNU and BusyBox, or that of BSD. A file that is gone
# meanwhile is left out. After a failed `stat -c`, the -f of GNU would print the status of file systems.
# shellcheck disable=SC2016,SC2034 # the inner shell's own variables
file_times='if stat -c %Y / >/dev/null 2>&1; then stat -c "%n %Y" "$@"; else stat -f "%N %m" "$@"; fi 2>/dev/null'

reply() {
    printf '>%s\n' "$*"
}

# The same after a command of the site, whose last line may have no end.
reply_after_command() {
    printf '\n'
    reply "$@"
}

# Seconds since the node started, by which a turn is measured: without a process, and whatever becomes of the clock.
now() {
    uptime=0
    [ -r /proc/uptime ] && read -r uptime _ </proc/uptime
    uptime=${uptime%%.*}
}

# The lines of a payload into `lines`, once they are all here, which a line with a dot says. Without it the connection was
# cut: the last name may be only the beginning of one, which is another pod's, and nobody is there to be answered.
take_lines() {
    lines=
    while IFS= read -r line; do
        [ "$line" != . ] || return 0
        lines="$lines$line
"
    done
    return 1
}

enter_root() {
    case $root in
        /*) ;;
        *) root=$HOME/$root ;;
    esac
    if ! { is_made || make_root; } || ! cd "$root"; then
        reply "unusable $root"
        return 1
    fi
    root=$PWD
    cd -P . && real_root=$PWD
    reply "root $root"
    [ "$real_root" = "$root" ] || reply "root $real_root"
}

# Whether a newer sidecar owns the folder: each that starts leaves its name in a link whose own name is later than those
# of all before. Whoever has no epoch owns nothing, and is no rival either.
is_superseded() {
    [ -n "$epoch" ] || return 1
    for owner in .remote-slurm/owners/*; do
        if [ "${owner##*/}" -gt "$epoch" ] 2>/dev/null && [ "$(readlink "$owner")" != "$sidecar" ]; then
            return
        fi
    done
    return 1
}

# For what only the owner of the folder may do.
#   >superseded      a newer sidecar owns it, and nothing was written
superseded() {
    is_superseded && reply superseded
}

# An older sidecar still submits and deletes pods. The poll of the newer one finds this file in the spool, and looks at all
# pods again.
notify_owner() {
    is_superseded || return 0
    note=.remote-slurm/spool/.older.$sidecar
    printf '>older acted\n' >"$note" && mv -f "$note" ".remote-slurm/spool/older.$sidecar"
} 2>/dev/null

# A mark that changes with each call, for an older sidecar: as long as it changes, the owner is alive. It cannot be a time,
# since clocks differ. A full file system leaves the file empty, which no reader takes for silence.
heartbeat() {
    printf '%s\n' "$1" >".remote-slurm/owners/.$epoch"
} 2>/dev/null

# Folders that are made here are the account's alone, unless a default ACL opens them: umask does not hold that back, and
# Secrets would lie open. A setgid bit does no harm.
is_private() {
    probe=.remote-slurm/incoming/mode.$$
    mkdir "$probe" || return
    # shellcheck disable=SC2012 # the mode is what ls is for
    mode=$(ls -ld "$probe" | cut -c 5-10 | sed 'y/ST/--/')
    rmdir "$probe"
    [ "$mode" = ------ ] || printf '%s\n' "a default ACL there opens what is made in it to others: take it off" \
        "with \`setfacl -R -b -k\`, or choose another folder"
    [ "$mode" = ------ ]
}

# The claim of a pod is a symbolic link, whose making is exclusive on every file system that has them: some FUSE and CIFS
# mounts have none.
has_symlinks() {
    probe=.remote-slurm/incoming/symlink.$$
    said=$(ln -s target "$probe" 2>&1) && rm -f "$probe" && return
    printf '%s\n' "no symbolic link can be made there, by which a job claims its pod (${said##*: }): choose another folder"
    return 1
}

# As sshd's StrictModes: whoever can write to a folder can replace what is in it, and job.sh runs as the account. On Linux
# the bits of the group show the most that an ACL allows, so that find sees ACLs too. Recovery and `check` call it: what
# the scripts make later is the account's alone (umask, is_private).
is_trusted() {
    me=$(id -u)
    is_safe_above "$root" && is_safe_above "$real_root" && is_safe_inside
}

# The folders that contain PATH: each belongs to root or the account, and nobody else can write to it, except with the
# sticky bit, as in /tmp: there only the owner of a file can replace it.
is_safe_above() {  # PATH
    above=${1%/*}
    set --
    while [ -n "$above" ]; do
        set -- "$above" "$@"
        above=${above%/*}
    done
    found=$(find / "$@" -maxdepth 0 \( ! -user 0 ! -user "$me" -o ! -type l ! -perm -1000 \( -perm -020 -o -perm -002 \) \) |
        head -n 1)
    [ -z "$found" ] && return
    if [ -n "$(find "$found" -maxdepth 0 -user "$me")" ]; then
        remedy="run \`chmod go-w $found\` at the site, or choose another DataRootFolder"
    else
        remedy="choose a DataRootFolder in the home folder, or ask the owner of $found for \`chmod +t $found\`"
    fi
    printf '%s\n' "other accounts can replace DataRootFolder, since $found is $(owner_and_mode "$found"): $remedy"
    return 1
}

# DataRootFolder and .remote-slurm with its folders are writable for the account alone, and all in them is the account's.
is_safe_inside() {
    found=$(find . .remote-slurm .remote-slurm/* -maxdepth 0 ! -type l \
        \( ! -user "$me" -o -perm -020 -o -perm -002 \) | head -n 1)
    if [ -n "$found" ]; then
        [ "$found" = . ] && found=$root || found=$root/$found
        remedy="run \`chmod go-w $found\` at the site"
        [ -n "$(find "$found" -maxdepth 0 -user "$me")" ] || remedy='choose another DataRootFolder'
        printf '%s\n' "$found must belong to the account and be writable for nobody else, but is $(owner_and_mode "$found"): $remedy"
        return 1
    fi
    # root's are .snapshot and lost+found
    found=$(
        find . -mindepth 1 -maxdepth 1 ! -user "$me" ! -user 0 | head -n 1
        find .remote-slurm -mindepth 1 -maxdepth 2 ! -user "$me" | head -n 1
    )
    found=${found%%"
"*}
    [ -z "$found" ] && return
    found=$root/${found#./}
    printf '%s\n' "$found must belong to the account, but is $(owner_and_mode "$found"): run \`rm -rf $found\` at the site"
    return 1
}

owner_and_mode() {
    # shellcheck disable=SC2012 # the mode and the owner are what ls is for
    ls -ld "$1" | { read -r mode _ name _ && printf 'of %s with mode %s' "$name" "$mode"; }
}

# Deletes are told to everybody for a day, and an sbatch that said no after one leaves its attempt no longer; what was
# only half received, or read by a sidecar that is gone, lies there for an hour.
expire() {
    find .remote-slurm/claims -maxdepth 1 -name '*.deleted' -mmin +1440 | while IFS= read -r stone; do
        rm -rf -- "${stone%.deleted}.deleted" "${stone%.deleted}.job" "${stone%.deleted}.stop" \
            "${stone%.deleted}.attempt"
    done
    find .remote-slurm/incoming .remote-slurm/read -mindepth 1 -maxdepth 1 -mmin +60 -exec rm -rf {} +
}

# Where nodes see none of this, a job waits held until the claim has decided that it is the pod's. Once only: whoever
# holds it later has reasons.
release_job() {
    ln -s "$id" ".remote-slurm/claims/$pod.job" 2>/dev/null
    owns_claim || return
    [ -e "$pod/released" ] || { "$scontrol" release "$id" </dev/null && true >"$pod/released"; }
}

owns_claim() {
    [ "$(readlink ".remote-slurm/claims/$pod.job")" = "$id" ]
}

# For certain: a claim that could not be made, in a full home, or that is not in sight yet, is nobody's.
is_claimed_by_another() {
    owner=$(readlink ".remote-slurm/claims/$pod.job")
    [ -n "$owner" ] && [ "$owner" != "$id" ]
}

# A purge of what is old may take folders away that are empty.
is_made() {
    for folder in claims incoming spool; do
        [ -d "$root/.remote-slurm/$folder" ] || return
    done
}

make_root() {
    # the first one alone, since mkdir says what is wrong once for each
    mkdir -p "$root/.remote-slurm" && mkdir -p "$root/.remote-slurm/claims" "$root/.remote-slurm/incoming" \
        "$root/.remote-slurm/read" "$root/.remote-slurm/spool"
}
