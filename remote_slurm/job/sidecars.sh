# shellcheck shell=bash
# Native sidecars: started in their place among the init containers, ended after the last container, in reverse order. All of
# them share one grace period, as on a kubelet.
#
#   sidecar_container NAME COMMAND...   goes on once it has started: its postStart and its startup probe are over

sidecar_names=()
sidecars=()  # the process id of what supervises each of them

sidecar_container() {
    start "$@"
    [[ -n ${supervisors-} ]] || return
    sidecar_names+=("$1")
    sidecars+=("${supervisors[0]}")
    names=()
    supervisors=()
    until [[ -e .runner/$1.started || -n $failed ]]; do
        if ! kill -0 "${sidecars[${#sidecars[@]} - 1]}" 2>/dev/null; then
            fail_without_image "$1" || fail NotStarted "sidecar $1 could not be started"
        fi
        sleep 0.1
    done
}

is_sidecar() {
    [[ " ${sidecars[*]} " == *" $1 "* ]]
}

# Their exit codes are nobody's failure. When the pod is over, they are told to end, and that is no stop of the pod.
end_sidecars() {
    local index
    [[ -e .stopping ]] || printf '%(%s)T\n' -1 >.runner/over
    for ((index = ${#sidecars[@]} - 1; index >= 0; index--)); do
        kill -TERM "${sidecars[index]}" 2>/dev/null
        await "${sidecars[index]}"
        record_missing_end "${sidecar_names[index]}"
    done
}

