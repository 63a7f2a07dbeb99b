# shellcheck shell=bash
# The recipes of the trees, from an empty folder to Debian with Slurm. What happens inside a tree is in recipe/.

base_recipe() { hash_of tree.sh recipe/{chroot,packages,accounts,image,mpi,tidy}; }
accounting_recipe() { hash_of mount-root.sh recipe/{layer,accounting}; }
hash_of() { (cd "$PARTS" && { echo "$SUITE" && cat "$@"; } | sha256sum | cut -c 1-12); }

build_base() {
    local part=$1 log=$2 mirror
    step "$log" "the machine's package lists" update_lists || return
    mirror=$(debian_mirror) || return
    prepare_dpkg "$part" || return
    step "$log" "Debian $SUITE, base system (1 of 3)" bootstrap "$part" "$mirror" || return
    apt_settings >"$part/etc/apt/apt.conf.d/10site" || return
    step "$log" 'Slurm and sshd (2 of 3)' inside_tree "$part" packages "$SUITE" "$mirror" || return
    step "$log" 'accounts and the container image (3 of 3)' finish_base "$part"
}

finish_base() { inside_tree "$1" accounts && inside_tree "$1" image && inside_tree "$1" mpi "$SUITE" && inside_tree "$1" tidy; }

# No fsync and no documentation: both cost time, and a broken tree is built anew.
prepare_dpkg() {
    mkdir -p "$1/etc/dpkg/dpkg.cfg.d" || return
    printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' \
        'path-exclude=/usr/share/locale/*' 'path-exclude=/usr/share/info/*' >"$1/etc/dpkg/dpkg.cfg.d/site"
}

# By the script for sid, which serves every suite since; those of suites younger than itself debootstrap does not have.
bootstrap() {
    local proxy=''
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    isolated env ${proxy:+"http_proxy=$proxy"} debootstrap --variant=minbase \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg "$SUITE" "$1" "$2" \
        /usr/share/debootstrap/scripts/sid
}

# The layer is what the packages add: built on top of the base tree, in memory, and only the upper folder is kept.
build_accounting() {
    step "$2" 'MariaDB and slurmdbd, once' isolated bash "$PARTS/recipe/layer" "$1" "${TREES[0]}" "$PARTS"
}

# inside_tree TREE RECIPE ARGUMENT...: runs recipe/RECIPE as root with TREE as its root.
inside_tree() { isolated bash "$PARTS/recipe/chroot" "$1" "$PARTS/recipe/$2" "${@:3}"; }

# Its mounts are private, and its processes end with this one: a killed build leaves nothing but files.
isolated() {
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private -- \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
}
