# shellcheck shell=sh
# shellcheck disable=SC2154 # values are set in front of this text
# Runs a step of a job (job/exec_step.sh), and ends with it. SIGTERM and SIGHUP end the step; sshd sends neither to a
# session without a terminal, so that ssh/command_channels.py sends them. Values:
#   step              srun's command line
#   job, name         the id of the job, and the name of the step
#   squeue, scancel   the programs
#   stdin             not empty: standard input is passed on

unset SLURM_CLUSTERS SLURM_PARTITION SLURM_QOS SLURM_ACCOUNT SLURM_RESERVATION SLURM_CONSTRAINT SLURM_EXCLUSIVE
unset SLURM_STEP_GRES SLURM_GRES SLURM_NTASKS SLURM_NNODES SLURM_CPUS_PER_TASK SLURM_LABELIO SLURM_DEBUG SLURM_EXPORT_ENV

run_step() {
    srun_pid=
    killer=
    stopping=
    trap 'stopping=yes; end_step' HUP TERM
    exec 3<&0 # a background process gets /dev/null as its standard input
    [ -n "$stdin" ] || exec 3</dev/null
    (eval "exec $step") <&3 3<&- &
    srun_pid=$!
    exec 3<&-
    [ -z "$stopping" ] || end_step # it came before there was a process
    code=0
    wait "$srun_pid" || code=$?
    while kill -0 "$srun_pid" 2>/dev/null; do
        code=0
        wait "$srun_pid" || code=$?
    done
    srun_pid= # another process may get its id
    cancel_kill_timer
    [ -z "$stopping" ] && [ "$code" = 0 ] || cancel_step
    exit "$code"
}

end_step() {
    [ -n "$srun_pid" ] || return 0
    kill -INT "$srun_pid"
    [ -z "$killer" ] || return 0
    (
        sleep 10 &
        trap 'kill "$!"; exit' TERM
        wait "$!" && kill -KILL "$srun_pid"
    ) >/dev/null 2>&1 &
    killer=$!
} 2>/dev/null

cancel_kill_timer() {
    [ -n "$killer" ] || return 0
    kill "$killer"
    wait "$killer"
} 2>/dev/null

# srun ends its step, unless it was killed itself.
cancel_step() {
    "$squeue" --noheader --steps --jobs="$job" --format='%i %j' </dev/null 2>/dev/null | while read -r id found; do
        [ "$found" != "$name" ] || "$scancel" --signal=KILL "$id"
    done
} 2>/dev/null

run_step
