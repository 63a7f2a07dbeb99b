# shellcheck shell=sh
# shellcheck disable=SC2154 # runtime is set in front of this text
# Looks for the container runtime on the login node.
#   >found PATH
#   >absent COMMAND
#   >version TEXT

check_runtime() {
    if ! path=$(command -v "$runtime"); then
        reply "absent $runtime"
        return
    fi
    reply "found $path"
    reply "version $(timeout -k 5 20 "$runtime" --version 2>&1 </dev/null | head -n 1)"
}

check_runtime
