# shellcheck shell=bash
# shellcheck disable=SC1090,SC2154 # variables of the container's supervisor, which its file sets
# A step of the pod's job that runs a client's command in a container. It is an argument of srun, and its own arguments are
# the pod's folder and the name of the container. The command comes in a variable, since all users can read arguments.
#
# It prints, between two RS and after the request's id:
#
#   begin                    what follows is the command's; without a terminal also on standard error
#   refused WORD [REST]      the command does not run: domain/exec_request.py has the words
#   end CODE                 the exit code of the command
#
# srun itself ends with 0, unless the step was ended.

exec_id=$REMOTE_SLURM_EXEC_ID exec_tty=$REMOTE_SLURM_EXEC_TTY
eval "exec_command=($REMOTE_SLURM_EXEC)"
unset REMOTE_SLURM_EXEC REMOTE_SLURM_EXEC_ID REMOTE_SLURM_EXEC_TTY

report_step() {
    printf '\036%s %s\036' "$exec_id" "$*"
}

refuse() {
    report_step "refused $*"
    exit 0
}

# The phase of the container's last record, with its exit code, or the code of what it waits for.
refuse_by_record() {  # NAME
    local phase='' exit_code='' reason='' rest
    read -r _ _ _ phase _ _ exit_code _ rest 2>/dev/null <"records/$1"
    case $phase in
        terminated) refuse terminated "$exit_code" ;;
        running) [[ -e .runner/$1.exec ]] || refuse not_allowed ;;
    esac
    [[ $rest =~ ^[^\ ]+\ .*reason=([A-Za-z]+) ]] && reason=${BASH_REMATCH[1]}
    refuse waiting "$reason"
}

[[ $1 == /* ]] || cd ~ || refuse no_folder
cd -- "$1" 2>/dev/null || refuse no_folder
exec_state=.runner/$2.exec exec_is_complete=''
[[ ! -s $exec_state ]] || . "./$exec_state"
[[ -n $exec_is_complete ]] || refuse_by_record "$2"
for part in "${parts[@]-runner}"; do  # a job of version 0.1.0 has its parts in files of their own
    . "${lib:-.}/$part.sh" || refuse no_folder
done
. "./$exec_state"
[[ $(start_of "$child") == "$child_start" ]] || refuse_by_record "$2"
container_has_ended && refuse_by_record "$2"

open_exec "$exec_id" "$exec_tty"
exec {errors}>&2 2>/dev/null  # or bash writes there that the command was killed
exec_term='' code=0
if [[ -n $exec_tty ]]; then
    # what is typed reaches the command by the terminal; ignored signals would be ignored by the command, too
    trap : INT QUIT
    exec_term=xterm
    export TERM=xterm
    report_step begin
    (become_inside "${exec_command[@]}") 2>&"$errors" {errors}>&-
    code=$?
else
    # --unbuffered makes standard output a terminal, which is none for the command: it is behind a pipe
    stty raw -echo <&1 2>/dev/null
    exec {pipe_in}> >(:)
    exec {pipe_out}<"/proc/self/fd/$pipe_in"
    cat <&"$pipe_out" {pipe_in}>&- {errors}>&- &
    copier=$!
    exec {pipe_out}<&-
    report_step begin
    report_step begin >&"$errors"
    (become_inside "${exec_command[@]}") >&"$pipe_in" 2>&"$errors" {pipe_in}>&- {errors}>&-
    code=$?
    exec {pipe_in}>&-
    # what the command has left in the background may hold the pipe
    for ((tries = 0; tries < 100; tries++)); do
        kill -0 "$copier" 2>/dev/null || break
        sleep 0.02
    done
fi
report_step end "$code"
exit 0
