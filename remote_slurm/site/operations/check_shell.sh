# shellcheck shell=sh
# shellcheck disable=SC2154 # bash and tools are set in front of this text
# Checks the shell and the commands that all scripts use.
#   >account NAME        the user name
#   >host NAME           the login node
#   >loginshell PATH     the account's login shell
#   >posix yes           /bin/sh has the features that the other scripts use
#   >missing COMMAND     a command that they call, and that does not exist
#   >nobash PATH         BashPath does not exist

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
