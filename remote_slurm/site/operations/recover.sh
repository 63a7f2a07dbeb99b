# shellcheck shell=sh
# shellcheck disable=SC2154 # sidecar and owns are set in front of this text, and file_times and records_of_pod are root.sh's
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

# What is known by its name is asked for by its name: a folder that is searched costs more.
# shellcheck disable=SC2016 # the inner shell's own variables
read_pods='
for pod; do
    [ -d "$pod" ] && [ ! -L "$pod" ] || continue
    [ ! -e "$pod/job.sh" ] || printf ">pod %s\n" "$pod"
    [ ! -e "$pod/again" ] || printf ">again %s\n" "$pod"
    { read -r id <"$pod/job.id" && printf "%s/job.id:%s\n" "$pod" "$id"; } 2>/dev/null'"$records_of_pod"'
done'

recover() {
    enter_root || return
    if ! is_trusted || ! is_private || ! has_symlinks; then
        reply "unusable $root"
        return
    fi
    [ -z "$owns" ] || take_over
    expire
    reply "uid $(id -u)"
    # Ids in folders before those in fences: a job that begins takes the fence, and then removes job.id
    names ./* | in_parallel "$read_pods" | whole_lines
    names .remote-slurm/claims/*.job | in_parallel "$(line_by_line 'ls -ld -- "$@"')" |
        sed -n 's|^.*\.remote-slurm/claims/\([^/]*\.job\) -> |>id \1 |p'
    names .remote-slurm/claims/*.attempt | in_parallel "$(line_by_line "$file_times")" | sed 's|^.*/|>attempt |'
    for stone in .remote-slurm/claims/*.deleted; do
        [ "$stone" = ".remote-slurm/claims/*.deleted" ] || reply "deleted ${stone##*/}"
    done
    reply recovered
}

recover
