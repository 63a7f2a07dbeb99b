# shellcheck shell=sh
# shellcheck disable=SC2154 # values are set in front of this text
# Looks for the Slurm commands, and checks that slurmctld answers. Values:
#   sbatch, scancel, squeue, sinfo   the programs
#   scontrol, srun                   these too, if they are needed
# Replies:
#   >found COMMAND       its full path
#   >absent COMMAND      neither a file nor in PATH
#   >version TEXT        each line that sbatch --version prints
#   >controller CODE N   the exit code of squeue, and how many jobs of the account it listed; its messages come first
#   >sinfo CODE TEXT     the exit code of sinfo, and its output if it fails
#   >sacct yes|no        whether the accounting answers

find_command() {
    if path=$(command -v "$1"); then
        reply "found $path"
    else
        reply "absent $1"
    fi
}

check_slurm() {
    for command in "$sbatch" "$scancel" "$squeue" "$sinfo" ${scontrol:+"$scontrol"} ${srun:+"$srun"}; do
        find_command "$command"
    done
    command -v "$sbatch" >/dev/null || return
    "$sbatch" --version 2>&1 </dev/null | sed 's/^/>version /'
    jobs=$(timeout -k 5 60 "$squeue" --me --noheader --format=%A 2>&1 </dev/null)
    code=$?
    [ "$code" -eq 0 ] || printf '%s\n' "$jobs"
    # PrivateData=partitions makes squeue complain on standard error, and list the account's jobs all the same
    reply "controller $code $(printf '%s' "$jobs" | grep -c '^[0-9][0-9]*$')"
    nodes=$(timeout -k 5 20 "$sinfo" --noheader --format=%D 2>&1 </dev/null)
    code=$?
    [ "$code" -ne 0 ] || nodes=
    reply "sinfo $code $(printf '%s' "$nodes" | tr '\n' ' ')"
    if timeout -k 5 20 sacct --noheader --allocations --jobs=1 </dev/null >/dev/null 2>&1; then
        reply "sacct yes"
    else
        reply "sacct no"
    fi
}

check_slurm
