# shellcheck shell=bash
# The files that containers have as /etc/hosts and /etc/localtime:
#
#   hosts HOSTNAME LINE...   make them; each LINE is an address and its names

# The job has the node's network: the names that the node knows stay, as in a pod with hostNetwork.
hosts() {
    local name=$1
    shift
    {
        cat /etc/hosts 2>/dev/null
        printf '\n# Added for the pod\n%s\t%s\n' "$(node_address)" "$name"
        ((!$#)) || printf '%s\n' "$@"
    } >hosts
    # tzfile(5), version 1: one type of local time, UTC
    printf 'TZif%b\1%b\4%bUTC\0' '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' '\0\0\0' '\0\0\0\0\0\0' >localtime
    chmod 644 hosts localtime
}

# The first address of the node that other nodes can reach; names of nodes may have a loopback address in /etc/hosts.
node_address() {
    local address name=${SLURMD_NODENAME:-$(uname -n)}
    for address in $(getent ahostsv4 "$name" | cut -d ' ' -f 1) $(hostname -I) \
        $(getent ahostsv6 "$name" | cut -d ' ' -f 1); do
        case $address in
            127.* | 0.0.0.0 | ::1 | fe80:* | *[!0-9a-fA-F.:]*) ;;
            *) printf '%s\n' "$address"; return ;;
        esac
    done
    printf '127.0.0.1\n'
} 2>/dev/null
