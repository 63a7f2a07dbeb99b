# shellcheck shell=bash
# mount_root DISK TREE...: a writable DISK/site that shows the TREEs (topmost first), which stay as they are. Called in
# a mount namespace of its own.

# What is written lies in memory (DISK/upper): it is gone with the namespace, however that ends. Where overlayfs is not
# to be had, a copy does the same, for a second and the memory that the trees take; then there is no DISK/upper.
mount_root() {
    local disk=$1 lower
    shift
    lower=$(IFS=: && echo "$*")
    mount -t tmpfs -o mode=755 tmpfs "$disk"
    mkdir "$disk"/{upper,work,site}
    mount -t overlay -o "lowerdir=$lower,upperdir=$disk/upper,workdir=$disk/work" overlay "$disk/site" ||
        copy_trees "$disk" "$@"
}

# From the lowest tree to the topmost.
copy_trees() {
    local root=$1/site tree
    rmdir "$1"/{upper,work}
    shift
    for tree in $(printf '%s\n' "$@" | tac); do
        cp -a "$tree/." "$root"
    done
    mount --bind "$root" "$root"
}
