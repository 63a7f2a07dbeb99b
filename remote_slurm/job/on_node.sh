# shellcheck shell=bash
# ContainerRuntime none: the command of a container runs on the node.
#
#   on_node ENV_FILE WORKING_DIR COMMAND...

# on_node ENV_FILE WORKING_DIR COMMAND...: what ContainerRuntime none runs instead of a container
on_node() {
    set -a
    # shellcheck disable=SC1090 # written by the sidecar, one assignment a line
    . "./$1" || exit 125
    set +a
    [[ -z $2 ]] || mkdir -p -- "$2" 2>/dev/null
    cd -- "${2:-$HOME}" || exit 125
    shift 2
    become "$@"
}
