# shellcheck shell=sh
# shellcheck disable=SC2154 # root, sidecar and epoch are set in front of this text; pod, id and scontrol by callers of release_job
# Comes first in every script of this folder, and enters DataRootFolder. `root` is its full path by the configuration and
# $HOME, which login and compute nodes share; `real_root` is the path without links, which may exist on this login node
# only. Versions before 0.2 submitted jobs by the real path.
# A reply is a line that starts with '>'. All other lines are messages of commands.

unset CDPATH  # profiles set it for people

# For `find -exec sh -c`: the first line of each file. A line that is cut off is none: `read` fails then.
# shellcheck disable=SC2016,SC2034 # the inner shell's own variables
first_lines='for file; do IFS= read -r line <"$file" && printf "%s\n" "$line"; done'

# For `find -exec sh -c`: the name and modification time of each file, by the stat of GNU and BusyBox, or that of BSD. A file that is
# removed meanwhile is left out. After a failed `stat -c`, the -f of GNU would print the status of file systems.
# shellcheck disable=SC2016,SC2034 # the inner shell's own variables
file_times='if stat -c %Y / >/dev/null 2>&1; then stat -c "%n %Y" "$@"; else stat -f "%N %m" "$@"; fi 2>/dev/null'

# Prints the names that patterns match, for in_parallel. A pattern that matches nothing is only its own name.
names() {  # NAME...
    for each; do
        case $each in
            *[*?]*) [ -e "$each" ] || [ -L "$each" ] || continue ;;
        esac
        printf '%s\0' "$each"
    done
}

# Runs SCRIPT with the names of standard input, 50 at a time, in several processes at once if xargs can: a parallel file system
# takes a while for each question, and answers many together. All of them print into one pipe, which keeps a line whole if it
# comes in one write. Shells buffer 1,000 bytes, so that SCRIPT prints longer lines as `>long FILE`: see whole_lines.
in_parallel() {  # SCRIPT
    find_parallel
    xargs -0 -r -n 50 "$parallel" sh -c "$1" sh
}

# Sets parallel to the option of xargs for several processes at once, or to one that changes nothing.
find_parallel() {
    [ -z "$parallel" ] || return 0
    parallel=-P8
    [ "$(printf 1 | xargs -0 -r -n 50 -P8 echo 2>/dev/null)" = 1 ] || parallel=-r
}
parallel=

# Replaces `>long FILE` by the first line of the file.
whole_lines() {
    LC_ALL=C awk '
        index($0, ">long ") != 1 { print; next }
        { file = substr($0, 7); if ((getline line <file) > 0) print line; close(file) }
    '
}

# For in_parallel: what COMMAND prints, line by line.
line_by_line() {  # COMMAND
    printf '%s\n' "IFS='" "'; set -f; for line in \$($1); do printf '%s\\n' \"\$line\"; done"
}

# For in_parallel, inside a loop over the folders of pods: the first lines of all records of one.
# shellcheck disable=SC2016,SC2034 # the inner shell's own variables
records_of_pod='
    for file in "$pod"/records/*; do
        [ "$file" != "$pod/records/*" ] && [ -f "$file" ] && [ ! -L "$file" ] && IFS= read -r line <"$file" || continue
        if [ "${#line}" -lt 250 ]; then printf "%s\n" "$line"; else printf ">long %s\n" "$file"; fi
    done 2>/dev/null'

# Succeeds also if the connection is gone: what a script decides must not depend on a reader.
reply() {
    printf '>%s\n' "$*" || :
}

# Reply after a command whose last line may lack its newline.
reply_after_command() {
    printf '\n'
    reply "$@"
}

# Sets uptime to the seconds since the node started: it needs no process, and changes of the clock do not affect it.
now() {
    uptime=0
    [ -r /proc/uptime ] && read -r uptime _ </proc/uptime
    uptime=${uptime%%.*}
}

# Whether TEXT is the id of a job, or of a task of a job array (42_7): domain/slurm/job_ids.py has the same.
is_id() {  # TEXT
    case $1 in
        "" | _* | *_ | *_*_* | *[!0-9_]*) return 1 ;;
    esac
}

# Reads the lines of a payload into `lines`. A line with a dot is the end. Returns 1 without it, since the connection was
# cut: the last name may be cut off too, and then be the name of another pod.
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
    if ! { root_exists && cd "$root" 2>/dev/null; } && ! { make_root && cd "$root"; }; then
        reply "unusable $root"
        return 1
    fi
    root=$PWD
    cd -P . && real_root=$PWD
    reply "root $root"
    [ "$real_root" = "$root" ] || reply "root $real_root"
}

# Whether a newer sidecar owns the folder. Each sidecar that starts creates a link to its name, and names it by its epoch,
# which is later than those before. A sidecar without an epoch never owned the folder.
is_superseded() {
    [ -n "$epoch" ] || return 1
    for owner in .remote-slurm/owners/*; do
        if [ "${owner##*/}" -gt "$epoch" ] 2>/dev/null && [ "$(readlink "$owner")" != "$sidecar" ]; then
            return
        fi
    done
    return 1
}

# Guards what only the owner of the folder may do.
#   >superseded      a newer sidecar owns it; nothing was written
superseded() {
    is_superseded && reply superseded
}

# An older sidecar still submits and deletes pods. The poll of the newer one finds this file in the spool, and surveys all
# pods again.
notify_owner() {
    is_superseded || return 0
    note=.remote-slurm/spool/.older.$sidecar
    printf '>older acted\n' >"$note" && mv -f "$note" ".remote-slurm/spool/older.$sidecar"
} 2>/dev/null

# Writes a text that changes with each call: while it changes, older sidecars know that the owner is alive. It is no time,
# since clocks differ. On a full file system the file is empty, which readers do not take for a heartbeat that stays.
heartbeat() {
    printf '%s\n' "$1" >".remote-slurm/owners/.$epoch"
} 2>/dev/null

# Whether new folders are accessible to the account alone. A default ACL overrides umask and would open Secrets to others.
# A setgid bit does no harm.
is_private() {
    probe=.remote-slurm/incoming/mode.$$
    mkdir "$probe" || return
    # shellcheck disable=SC2012 # only ls prints the mode on every system
    mode=$(ls -ld "$probe" | cut -c 5-10 | sed 'y/ST/--/')
    rmdir "$probe"
    [ "$mode" = ------ ] || printf '%s\n' "a default ACL opens new files in it to other accounts: remove the ACL" \
        "with \`setfacl -R -b -k\`, or choose another folder"
    [ "$mode" = ------ ]
}

# The fence of a pod is a symbolic link, whose creation is exclusive on every file system that has links. Some FUSE and
# CIFS mounts have none.
has_symlinks() {
    probe=.remote-slurm/incoming/symlink.$$
    output=$(ln -s target "$probe" 2>&1) && rm -f "$probe" && return
    printf '%s\n' "its file system has no symbolic links, which the fence of a pod needs (${output##*: }): choose another folder"
    return 1
}

# As sshd's StrictModes: an account that can write to a folder can replace the files in it, and job.sh runs as the account.
# On Linux the group bits show the most that an ACL allows, so that find sees ACLs too. Recovery and `check` call it;
# what the scripts create later is accessible to the account alone (umask, is_private).
is_trusted() {
    me=$(id -u)
    is_safe_above "$root" && is_safe_above "$real_root" && is_safe_inside
}

# Whether each folder above PATH belongs to root or the account, and no other account can write to it. A folder with the
# sticky bit, such as /tmp, is safe: there only the owner of a file can replace it.
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

# Whether DataRootFolder and .remote-slurm are writable for the account alone, and all files in them belong to it.
is_safe_inside() {
    found=$(find . .remote-slurm .remote-slurm/* -maxdepth 0 ! -type l \
        \( ! -user "$me" -o -perm -020 -o -perm -002 \) | head -n 1)
    if [ -n "$found" ]; then
        [ "$found" = . ] && found=$root || found=$root/$found
        remedy="run \`chmod go-w $found\` at the site"
        [ -n "$(find "$found" -maxdepth 0 -user "$me")" ] || remedy='choose another DataRootFolder'
        printf '%s\n' "$found must belong to the account and be writable for no other account, but is $(owner_and_mode "$found"): $remedy"
        return 1
    fi
    # .snapshot and lost+found belong to root
    # shellcheck disable=SC2016 # the inner shell's own variables
    found=$(
        names ./* ./.[!.]* ./..?* | in_parallel 'find "$@" -maxdepth 0 ! -user '"$me"' ! -user 0' | head -n 1
        names .remote-slurm/* .remote-slurm/.[!.]* .remote-slurm/*/* .remote-slurm/*/.[!.]* |
            in_parallel 'find "$@" -maxdepth 0 ! -user '"$me" | head -n 1
    )
    found=${found%%"
"*}
    [ -z "$found" ] && return
    found=$root/${found#./}
    printf '%s\n' "$found must belong to the account, but is $(owner_and_mode "$found"): run \`rm -rf $found\` at the site"
    return 1
}

owner_and_mode() {
    # shellcheck disable=SC2012 # only ls prints the mode and the owner on every system
    ls -ld "$1" | { read -r mode _ name _ && printf 'owned by %s with mode %s' "$name" "$mode"; }
}

# Removes the folders of arrays in which nothing has changed for a day, and none of whose pods has a folder or an attempt: their
# tasks start nothing.
expire_arrays() {
    find .remote-slurm/arrays -mindepth 1 -maxdepth 1 -mmin +1440 2>/dev/null | while IFS= read -r array; do
        # one that was given up has no job.sh
        sed -n 's/^ *[0-9]*) pod=\([^ ]*\) ;;$/\1/p' "$array"/*.sh 2>/dev/null | {
            while read -r member; do
                [ ! -e "$member" ] && [ ! -e ".remote-slurm/claims/$member.attempt" ] || exit 1
            done
        } && rm -rf -- "$array"
    done
}

# Removes tombstones after a day, with the attempt of an sbatch that failed after the delete. Removes after an hour what
# was received incompletely, or read by a sidecar that has ended.
expire() {
    find .remote-slurm/claims -maxdepth 1 -name '*.deleted' -mmin +1440 | {
        set --
        while IFS= read -r tombstone; do
            tombstone=${tombstone%.deleted}
            set -- "$@" "$tombstone.deleted" "$tombstone.job" "$tombstone.stop" "$tombstone.attempt"
            # a burst of deletes has left thousands
            [ $# -lt 400 ] || { rm -rf -- "$@"; set --; }
        done
        [ $# -eq 0 ] || rm -rf -- "$@"
    }
    find .remote-slurm/incoming .remote-slurm/read -mindepth 1 -maxdepth 1 -mmin +60 -exec rm -rf {} +
    find /tmp -maxdepth 1 -type f -name 'remote-slurm-submit-*' -user "$(id -u)" -mmin +60 -exec rm -f {} + 2>/dev/null
    expire_arrays
}

# Whether the scripts of a library, which pods share, are what its name says. Scripts are renamed into place whole.
is_whole() {
    sum=$(cat ".remote-slurm/lib/$1"/*.sh 2>/dev/null | sha256sum 2>/dev/null)
    if [ -n "$sum" ]; then
        [ "${sum%% *}" = "$1" ]
    else
        [ -s ".remote-slurm/lib/$1/runner.sh" ]  # there is no sha256sum
    fi
}

# Takes the fence for job `id`, and releases the job if it is in the fence. For nodes that do not see the fence, whose jobs
# are submitted held. Once only: a user or the site may hold the job again later.
release_job() {
    ln -s "$id" ".remote-slurm/claims/$pod.job" 2>/dev/null
    owns_fence || return
    [ -e "$pod/released" ] || { "$scontrol" release "$id" </dev/null && true >"$pod/released"; }
}

owns_fence() {
    [ "$(readlink ".remote-slurm/claims/$pod.job")" = "$id" ]
}

# Whether another job is certainly in the fence. A fence may be missing since the home is full, or not visible yet.
is_fenced_by_another() {
    owner=$(readlink ".remote-slurm/claims/$pod.job")
    [ -n "$owner" ] && [ "$owner" != "$id" ]
}

# Empty folders may be removed when the site purges old files. A script that uses some of them only says so, since a site's file
# system takes a while for each question. One that makes what it misses says that it uses none.
root_exists() {
    for folder in ${folders_used-claims incoming spool}; do
        [ -d "$root/.remote-slurm/$folder" ] || return
    done
}

make_root() {
    # the first folder alone, since mkdir prints a message for each one that fails
    mkdir -p "$root/.remote-slurm" && mkdir -p "$root/.remote-slurm/claims" "$root/.remote-slurm/incoming" \
        "$root/.remote-slurm/read" "$root/.remote-slurm/spool"
}
