# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # sourced after runner.sh, whose variables it uses
# The variables of the container runtime:
#
#   runtime_environment CACHE   set them; the runtime keeps its own files below CACHE

runtime_environment() {
    local cache=$1 pod=$PWD temporary
    [[ $cache == /* ]] || cache=$PWD/$cache
    # shellcheck source=/dev/null
    . ./runtime.sh
}
