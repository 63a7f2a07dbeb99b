# shellcheck shell=sh
# shellcheck disable=SC2154 # values are set in front of this text
# Prints the account's jobs, one per line. Values:
#   squeue   the whole command
#   known    not empty: the sidecar knows the path of DataRootFolder, so that its file system is not accessed. While it hangs,
#            the queue still answers
#   token    not empty: the queue is long. The reply is kept under this name, and only what has changed since the reply
#            `base` is printed
#   base     the token of an earlier reply
#   rows     the number of different lines in that reply
#   forget   not empty: all replies that are kept are removed, since the queue is not long any more
# Then
#   >queue CODE SECONDS BEGAN ENDED   squeue's exit code, and the site's clock; BEGAN and ENDED are when squeue was called and
#                                     had ended, in seconds since the node started, and left out if they are unknown
# and for a long queue
#   >+ LINE                  a line that the reply `base` did not have
#   >- LINE                  a line of that reply that is not there any more
#   >rows NUMBER TOKEN BASE  how many different lines squeue printed; BASE is left out if all of them are printed, because the
#                            reply `base` is not on this login node any more

list_jobs() {
    eval "TZ=UTC SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0 timeout -k 5 60 $squeue" </dev/null
}

# Replies are kept outside of DataRootFolder, in a folder that is accessible to the account alone. Every user of the login
# node can make a link of that name before, and replace it at any time. So the folder is entered once, then looked at, and
# its path is not used again. The pwd of bash, and its PWD, are what the path led to before.
enter_memory() {
    command -v awk >/dev/null && command -v tee >/dev/null || return
    mkdir "$memory" 2>/dev/null
    # shellcheck disable=SC3067 # a shell without -O prints the whole queue
    cd -P -- "$memory" 2>/dev/null && [ -O . ] && entered=$(env pwd -P) && [ "${entered##*/}" = "${memory##*/}" ] && return
    cd /
    return 1
}

# Removes replies before `base`, and what earlier sidecars have left.
forget_replies() {
    set --
    for file in ./*; do
        case ${file##*/} in
            "$base" | '*') ;;
            *) set -- "$@" "$file" ;;
        esac
    done
    [ $# -eq 0 ] || rm -f -- "$@"
    [ -n "$base" ] || find /tmp -maxdepth 1 -type d -name 'remote-slurm-queue-*' -user "$(id -u)" -mmin +60 \
        -exec rm -rf {} + 2>/dev/null
}

# The exit code of squeue comes last: without it, or if it is not 0, no line counts as gone. awk reads what squeue printed, and
# not the file: on a full file system the file lacks lines, which the next call notices.
list_changes() {
    forget_replies
    # shellcheck disable=SC2016 # awk's own variables
    { list_jobs; printf '\n>%s\n' "$?"; } | tee "./$token" 2>/dev/null |
        LC_ALL=C awk -v base="$base" -v file="./$base" -v token="$token" -v rows="$rows" '
            BEGIN {
                if (base != "")
                    while ((getline line <file) > 0)
                        if (line ~ /^>/) ended = 1
                        else if (line != "" && !(line in before)) { before[line]; number++ }
                if (!ended || number != rows) { base = ""; split("", before) }
            }
            /^>/ { code = substr($0, 2); next }
            $0 == "" || $0 in now { next }
            { now[$0]; total++ }
            !($0 in before) { print ">+ " $0 }
            END {
                if (code == "0") {
                    for (line in before) if (!(line in now)) print ">- " line
                    print ">rows " total + 0 " " token " " base
                }
                exit code == "" ? 1 : code
            }'
}

# Sets time to the seconds since the node started, with fractions, without a process.
look_at_clock() {
    time=
    [ ! -r /proc/uptime ] || read -r time _ </proc/uptime
}

queue() {
    [ -n "$known" ] || enter_root || return
    memory=/tmp/remote-slurm-queue-$sidecar
    [ -z "$forget" ] || rm -rf "$memory"
    look_at_clock
    began=$time
    if [ -n "$token" ] && enter_memory; then
        list_changes
    else
        list_jobs
    fi
    code=$?
    look_at_clock
    reply_after_command "queue $code $(date +%s) $began $time"
}

queue
