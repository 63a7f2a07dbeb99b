# shellcheck shell=bash
# Commands that clients run in a container while it runs (EnableExec). A step of the job enters the container: it reads what
# the supervisor of the container has written into .runner/NAME.exec. job.sh calls, for the next container:
#
#   allow_exec   clients may run commands in it; `exec_mode` comes before

allow_exec() {
    exec_allowed=yes
}

# What exec_in_container needs in another process of the node. The last line shows that the file is complete.
write_exec_state() {
    [[ -n $exec_allowed ]] || return 0
    local child_start
    child_start=$(start_of "$child")
    {
        declare -p pod name run_prefix runtime child child_start exec_mode exec_words guarded
        ! declare -p podman podman_prefix
        ! declare -p lib
        export -p
        printf 'exec_is_complete=yes\n'
    } >".runner/$name.exec"
} 2>/dev/null

remove_exec_state() {
    [[ -z $exec_allowed ]] || : >".runner/$name.exec"
} 2>/dev/null

# In the step (exec_step.sh): what a runtime needs so that its command passes on standard input, and a terminal if there is one.
open_exec() {  # ID TERMINAL
    [[ $exec_mode != runtime ]] || runtime_hook open_exec "$@"
}
