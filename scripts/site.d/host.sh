# shellcheck shell=bash
# What is asked of the machine, and what is learned from it: root, Debian's tools, and where its packages come from.

need_root() {
    ((EUID == 0)) || die "$1 needs root, for mounts and namespaces: run it with sudo, or in a virtual machine of your own"
    { [[ -e /etc/debian_version ]] && command -v apt-get >/dev/null; } ||
        die 'this machine is not Debian or Ubuntu: use a Debian virtual machine, or point the sidecar at a real cluster'
}

# Settings of the kernel, which the site shares with the machine, and which it is not its business to change.
check_user_namespaces() {
    [[ $SUITE != bookworm ]] || return 0
    advise kernel/apparmor_restrict_unprivileged_userns 1 0
    advise kernel/unprivileged_userns_clone 0 1
    advise user/max_user_namespaces 0 10000
}

advise() {
    [[ $(cat "/proc/sys/$1" 2>/dev/null) != "$2" ]] ||
        say "this machine's kernel refuses user namespaces, so Apptainer will fail: run sysctl -w ${1//\//.}=$3"
}

# Installs what is missing by the name of the command that it brings.
need_commands() {
    local packages=()
    command -v ssh >/dev/null || packages+=(openssh-client)
    command -v python3 >/dev/null || packages+=(python3-minimal)
    command -v unshare >/dev/null && command -v mount >/dev/null || packages+=(util-linux mount)
    ((${#packages[@]} == 0)) || install_packages "${packages[@]}"
}

need_build_commands() {
    local packages=()
    command -v debootstrap >/dev/null || packages+=(debootstrap)
    [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || packages+=(debian-archive-keyring)
    ((${#packages[@]} == 0)) || install_packages "${packages[@]}"
}

install_packages() {
    local log
    log=$(mktemp)
    step "$log" "installing $*" apt_install "$@" || die "apt-get could not install $*; see below" "$log"
    rm -f "$log"
}

# Fresh images have no package lists; others may have lists that name versions the mirror has dropped.
apt_install() {
    local options=(-y -q --no-install-recommends -o DPkg::Lock::Timeout=120)
    DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "$@" && return
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "$@"
}

# The machine's own Debian mirror, as far as its package lists are there to tell. Ubuntu has none: then the one that
# debootstrap would take for Debian, or the one that the caller names.
debian_mirror() {
    local mirror=${REMOTE_SLURM_MIRROR-}
    mirror=${mirror:-$(debian_archives | head -n 1)}
    mirror=${mirror:-$(sed -n 's/^DEF_MIRROR="\(.*debian\)"$/\1/p' "$(command -v debootstrap)")}
    [[ $mirror ]] || die 'apt knows no Debian mirror on this machine: name one in REMOTE_SLURM_MIRROR'
    printf '%s\n' "$mirror"
}

update_lists() { [[ ${REMOTE_SLURM_MIRROR-} || $(debian_archives) ]] || apt-get update -q; }

debian_archives() {
    # shellcheck disable=SC2016  # the words in $() are apt's own
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's|^Debian Debian \(https\{0,1\}://.*[^/]\)/*$|\1|p'
}

# Proxies, and whether a mirror frozen in the past is accepted, are the machine's decisions: the tree takes them over.
apt_settings() {
    apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date) ' || true
    printf '%s\n' 'Acquire::Languages "none";' 'APT::Install-Recommends "false";'
}
