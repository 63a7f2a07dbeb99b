# shellcheck shell=bash
# Trees: Debian with Slurm, built once per suite and recipe, and never written to again.
#
#   $CACHE/trixie-<hash>              debootstrap, Slurm, sshd, Apptainer, Podman, accounts, image
#   $CACHE/trixie-<hash>-<hash>       only what slurmdbd and MariaDB add to it (the upper layer of an overlay)
#
# A tree under its final name is complete. The hash is that of its recipe (tree.sh). Whoever uses a tree holds a shared lock on
# it; building and removing happens under the suite's own lock.

# Sets TREES (top layer first), with a shared lock on each that lasts as long as any process that inherits it.
TREES=()
use_trees() {
    local base lock
    mkdir -p "$CACHE"
    exec {lock}>>"$CACHE/$SUITE.lock"
    flock -w 2 "$lock" || { say "waiting for another build of $SUITE" && flock "$lock"; }
    base=$CACHE/$SUITE-$(base_recipe)
    use_tree "$base" build_base
    [[ $ACCOUNTING = false ]] || use_tree "$base-$(accounting_recipe)" build_accounting
    remove_old_trees
    exec {lock}>&-
}

use_tree() {
    local tree=$1 held
    [[ -d $tree ]] || build_tree "$@"
    exec {held}<"$tree"
    flock -s "$held"
    touch "$tree"
    TREES=("$tree" "${TREES[@]}")
}

# A tree appears by rename. What a killed build left is ours to remove, since no other process holds the suite's lock.
build_tree() {
    local tree=$1 build=$2 part=$1.part log=$CACHE/$SUITE.log
    need_build_commands
    rm -rf "$CACHE/$SUITE"-*.part
    : >"$log"
    mkdir "$part"
    "$build" "$part" "$log" || { rm -rf "$part" && die "building $SUITE failed; the end of $log:" "$log"; }
    mv "$part" "$tree"
}

# Trees of older recipes go, unless a site runs from them or another checkout used them within a day.
remove_old_trees() {
    local old
    find "$CACHE" -maxdepth 1 -type d -name "$SUITE-*" -mmin +1440 -print0 |
        while IFS= read -r -d '' old; do
            flock -xn "$old" rm -rf "$old" || true
        done
}
