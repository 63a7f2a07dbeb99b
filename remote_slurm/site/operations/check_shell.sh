# shellcheck shell=sh
# shellcheck disable=SC2154 # bash and tools are set in front of this text
# What the login shell has become.
#   >account NAME        who we are
#   >host NAME           where
#   >loginshell PATH     the account's own
#   >posix yes           /bin/sh can do what the other scripts need
#   >missing COMMAND     of the commands that they call
#   >nobash PATH         BashPath is not there

posix() {
    text=a.b.c
    [ "${text%%.*}${text#*.}" = ab.c ] && [ $((3 * (2 + 1))) -eq 9 ] && [ "$(printf '%s' x)" = x ]
}

check_shell() {
    reply "account $(id -un)"
    reply "host $(uname -n)"
    reply "loginshell ${SHELL:-unknown}"
    posix && reply "posix yes"
    for tool in $tools; do
        command -v "$tool" >/dev/null 2>&1 || reply "missing $tool"
    done
    [ -x "$bash" ] || reply "nobash $bash"
}

check_shell
