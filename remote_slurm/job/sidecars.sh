# shellcheck shell=bash
# Native sidecars: started in the order of the init containers, stopped after the last container in reverse order. All sidecars
# share one grace period, as on a kubelet.
#
#   sidecar_container NAME COMMAND...   start one, and wait for the end of its postStart hook and its startup probe

sidecar_names=()
sidecars=()  # the process ids of their supervisors

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

# Exit codes of sidecars do not fail the pod. .runner/over marks that they are stopped since the other containers have ended.
end_sidecars() {
    local index
    [[ -e .stopping ]] || printf '%(%s)T\n' -1 >.runner/over
    for ((index = ${#sidecars[@]} - 1; index >= 0; index--)); do
        kill -TERM "${sidecars[index]}" 2>/dev/null
        await "${sidecars[index]}"
        record_missing_end "${sidecar_names[index]}"
    done
}

