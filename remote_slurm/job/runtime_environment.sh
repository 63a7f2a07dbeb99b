# shellcheck shell=bash
# The variables of the container runtime:
#
#   runtime_environment CACHE   set them; the runtime keeps its own files below CACHE

runtime_environment() {
    # shellcheck disable=SC2034 # runtime.sh reads and sets them
    local cache=$1 pod=$PWD temporary
    [[ $cache == /* ]] || cache=$PWD/$cache
    # shellcheck source=/dev/null
    . ./runtime.sh
}
