# shellcheck shell=bash
# Trees: Debian with Slurm, built once per suite and recipe, and never written to again.
#
#   $CACHE/trixie-<hash>              debootstrap, Slurm, sshd, Apptainer, accounts, image
#   $CACHE/trixie-<hash>-accounting   only what slurmdbd and MariaDB add to it (the upper layer of an overlay)
#
# A tree under its final name is complete. The hash is that of the recipe. Whoever uses a tree holds a shared lock on
# it; building and removing happens under the suite's own lock.

# Sets TREES (top layer first), with a shared lock on each that lasts as long as any process that inherits it.
TREES=()
use_trees() {
    local base lock
    mkdir -p "$CACHE"
    exec {lock}>>"$CACHE/$SUITE.lock"
    flock -n "$lock" || { say "waiting for another build of $SUITE" && flock "$lock"; }
    base=$CACHE/$SUITE-$(recipe)
    use_tree "$base" build_base
    [[ $ACCOUNTING = false ]] || use_tree "$base-accounting" build_accounting
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

recipe() { { echo "$SUITE" && cat "$PARTS"/cache.sh "$PARTS"/build/*; } | sha256sum | cut -c 1-12; }

# A tree appears by rename. What a killed build left is ours to remove, since nobody else holds the suite's lock.
build_tree() {
    local tree=$1 build=$2 part=$1.part log=$CACHE/$SUITE.log
    need_build_commands
    rm -rf "$CACHE/$SUITE"-*.part
    : >"$log"
    mkdir "$part"
    "$build" "$part" "$log" || { rm -rf "$part" && die "building $SUITE failed; the end of $log:" "$log"; }
    mv "$part" "$tree"
}

build_base() {
    local part=$1 log=$2 mirror
    mirror=$(debian_mirror)
    prepare_dpkg "$part"
    step "$log" "Debian $SUITE, base system (1 of 3)" bootstrap "$part" "$mirror" || return
    apt_settings >"$part/etc/apt/apt.conf.d/10site" || return
    step "$log" 'Slurm and sshd (2 of 3)' inside_tree "$part" packages "$SUITE" "$mirror" || return
    step "$log" 'accounts and the container image (3 of 3)' finish_base "$part"
}

finish_base() { inside_tree "$1" accounts && inside_tree "$1" image && inside_tree "$1" tidy; }

# No fsync and no documentation: both cost time, and nobody misses them in a tree that is thrown away when it breaks.
prepare_dpkg() {
    mkdir -p "$1/etc/dpkg/dpkg.cfg.d"
    printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' \
        'path-exclude=/usr/share/locale/*' 'path-exclude=/usr/share/info/*' >"$1/etc/dpkg/dpkg.cfg.d/site"
}

bootstrap() {
    local proxy=''
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    isolated env ${proxy:+"http_proxy=$proxy"} debootstrap --variant=minbase \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg "$SUITE" "$1" "$2"
}

# The layer is what the packages add: built on top of the base tree, in memory, and only the upper folder is kept.
build_accounting() {
    step "$2" 'MariaDB and slurmdbd, once' isolated bash "$PARTS/build/layer" "$1" "${TREES[0]}" "$PARTS"
}

# inside_tree TREE RECIPE ARGUMENT...: runs build/RECIPE as root with TREE as its root.
inside_tree() { isolated bash "$PARTS/build/chroot" "$1" "$PARTS/build/$2" "${@:3}"; }

# Its mounts are seen by nobody else, and its processes die with this one: a killed build leaves nothing but files.
isolated() {
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private -- \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
}

# Trees of older recipes go, unless a site runs from them or another checkout used them within a day.
remove_old_trees() {
    local old
    find "$CACHE" -maxdepth 1 -type d -name "$SUITE-*" -mmin +1440 -print0 |
        while IFS= read -r -d '' old; do
            flock -xn "$old" rm -rf "$old" || true
        done
}
