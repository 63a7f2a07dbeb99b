# shellcheck shell=bash
# For --enforce-memory, the folders remote-slurm-NAME in two hierarchies of the host's cgroup tree: the kernel has one
# such tree, whatever the namespaces. Slurm puts each job into a folder below them.

CGROUP_HIERARCHIES=(freezer memory)

# Slurm takes version 2 from systemd only, which a site has not.
need_cgroups() {
    local kind
    for kind in "${CGROUP_HIERARCHIES[@]}"; do
        awk -v kind="$kind" '$1 == kind && $2 > 0 { found = 1 } END { exit !found }' /proc/cgroups ||
            die "--enforce-memory needs the cgroup version 1 hierarchy $kind, which this machine has not (it may have version 2, which a site cannot use)"
    done
}

# mount_cgroups NAME TARGET: the site's folders look like the top of the tree to whatever runs in it.
mount_cgroups() {
    local name=$1 target=$2 kind
    mount -t tmpfs -o mode=755 tmpfs "$target"
    for kind in "${CGROUP_HIERARCHIES[@]}"; do
        mkdir "$target"/{"$kind",whole}
        mount -t cgroup -o "$kind" cgroup "$target/whole"
        mkdir "$target/whole/remote-slurm-$name"
        mount --bind "$target/whole/remote-slurm-$name" "$target/$kind"
        umount "$target/whole"
        rmdir "$target/whole"
    done
}

# Called when every process of the site is gone. Mounted anew, since the host may have its hierarchies anywhere.
remove_cgroups() {
    local kind
    for kind in "${CGROUP_HIERARCHIES[@]}"; do
        # shellcheck disable=SC2016  # a script for the shell inside the namespace
        unshare --mount --propagation private -- bash -c '
            mount -t cgroup -o "$1" cgroup /sys/fs/cgroup || exit
            folder=/sys/fs/cgroup/remote-slurm-$2
            for _ in {1..50}; do
                [[ -d $folder ]] || exit 0
                find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null && exit
                sleep 0.1
            done
            exit 1' - "$kind" "$1" || say "the cgroup folder $kind:/remote-slurm-$1 could not be removed"
    done
}
