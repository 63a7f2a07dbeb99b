# shellcheck shell=sh
# shellcheck disable=SC2154 # root is set in front of this text
# Goes in front of every other script here: enters DataRootFolder and spells it as the file system does.
# An answer is a line that starts with '>'; whatever else comes is a message of some command.

reply() {
    printf '>%s\n' "$*"
}

enter_root() {
    case $root in
        /*) ;;
        *) root=$HOME/$root ;;
    esac
    if ! { [ -d "$root/.remote-slurm/spool" ] || make_root; } || ! cd "$root"; then
        reply "unusable $root"
        return 1
    fi
    root=$(pwd -P)
    reply "root $root"
}

make_root() {
    # the first one alone, since mkdir says what is wrong once for each
    mkdir -p "$root/.remote-slurm" && mkdir -p "$root/.remote-slurm/claims" "$root/.remote-slurm/incoming" \
        "$root/.remote-slurm/read" "$root/.remote-slurm/spool"
}
