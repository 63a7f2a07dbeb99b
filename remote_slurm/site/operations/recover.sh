# shellcheck shell=sh
# shellcheck disable=SC2154 # sidecar and owns are set in front of this text, and first_lines and file_times are root.sh's
# Prints all that the site stores of the pods, for a sidecar that starts with an empty memory.
#   >uid N            the account's user id
#   >pod NAME         a pod with a folder
#   >id NAME ID       the job in its fence
#   >again NAME       it is to be submitted again: Slurm refused it for now, or its turn did not come
#   >attempt NAME SECONDS  when sbatch was called for it
#   >deleted NAME     it was deleted
#   >epoch N          this sidecar owns the folder from now on; the previous owner writes no more
#   >recovered        the end of the reply

# The epoch is the time, so that it is later than that of an owner whose file this login node does not see yet.
take_over() {
    mkdir -p .remote-slurm/owners
    epoch=$(date +%s)
    for owner in .remote-slurm/owners/*; do
        [ "${owner##*/}" -ge "$epoch" ] 2>/dev/null && epoch=$((${owner##*/} + 1))
    done
    tries=20
    until ln -s "$sidecar" ".remote-slurm/owners/$epoch" 2>/dev/null; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return
        epoch=$((epoch + 1))
    done
    for owner in .remote-slurm/owners/*; do
        [ "${owner##*/}" -lt "$epoch" ] 2>/dev/null && rm -f "$owner" ".remote-slurm/owners/.${owner##*/}"
    done
    heartbeat start
    reply "epoch $epoch"
}

recover() {
    enter_root || return
    if ! is_trusted || ! is_private || ! has_symlinks; then
        reply "unusable $root"
        return
    fi
    [ -z "$owns" ] || take_over
    expire
    reply "uid $(id -u)"
    # not -printf, which BusyBox and BSD lack
    find . -mindepth 2 -maxdepth 2 -name job.sh | sed 's|^\(.*\)/job\.sh$|>pod \1|'
    find . -mindepth 2 -maxdepth 2 -name again | sed 's|^\(.*\)/again$|>again \1|'
    find .remote-slurm/claims -maxdepth 1 -type l -name '*.job' -exec ls -ld {} + |
        sed -n 's|^.*\.remote-slurm/claims/\([^/]*\.job\) -> |>id \1 |p'
    # shellcheck disable=SC2016 # the inner shell's own variables
    find . -mindepth 2 -maxdepth 2 -name job.id \
        -exec sh -c 'for file; do read -r id <"$file" && printf "%s:%s\n" "$file" "$id"; done' sh {} +
    find .remote-slurm/claims -maxdepth 1 -name '*.attempt' -exec sh -c "$file_times" sh {} + | sed 's|^.*/|>attempt |'
    find .remote-slurm/claims -maxdepth 1 -name '*.deleted' | sed 's|^.*/|>deleted |'
    find . -mindepth 3 -maxdepth 3 -path './*/records/*' -type f ! -name '.*' -exec sh -c "$first_lines" sh {} +
    reply recovered
}

recover
