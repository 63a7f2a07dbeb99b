# shellcheck shell=sh
# shellcheck disable=SC2154 # storage.sh, which comes before this text, uses these variables
# Runs on the login node, when a pod is deleted (site/operations/delete.sh), and no job is left to do it. Plain POSIX shell.

# remove_by_podman PATH PROGRAM...: removes what belongs to ids of users in an image (subuid).
remove_by_podman() {
    (
        what=$1
        shift
        set -- timeout -k 5 10 "$@"
        store=$PWD/.remote-slurm/incoming/podman.$$
        mkdir -p "$store/run" || exit
        open_storage "$store" "$store/run" "$@"
        "$@" unshare rm -rf -- "$what"
        code=$?
        remove_storage "$store" "$@"
        exit "$code"
    ) 2>/dev/null </dev/null
}
