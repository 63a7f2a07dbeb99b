# shellcheck shell=sh
# shellcheck disable=SC2154 # root, sidecar and epoch are set in front of this text; pod, id and scontrol by who calls release_job
# Goes in front of every other script here: enters DataRootFolder and spells it as the file system does.
# An answer is a line that starts with '>'; whatever else comes is a message of some command.

unset CDPATH  # profiles set it for people

# For `find -exec sh -c`: the first line of each file. A line that is cut off is none: `read` fails then.
# shellcheck disable=SC2016,SC2034 # the inner shell's own variables
first_lines='for file; do IFS= read -r line <"$file" && printf "%s\n" "$line"; done'

reply() {
    printf '>%s\n' "$*"
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
    root=$(pwd -P)
    reply "root $root"
}

# Whether a newer sidecar owns the folder: each that starts leaves its name in a link whose own name is later than those
# of all before. Whoever has no epoch owns nothing, and is no rival either.
#   >superseded      it does, and nothing was written
superseded() {
    [ -n "$epoch" ] || return 1
    for owner in .remote-slurm/owners/*; do
        if [ "${owner##*/}" -gt "$epoch" ] 2>/dev/null && [ "$(readlink "$owner")" != "$sidecar" ]; then
            reply superseded
            return
        fi
    done
    return 1
}

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
