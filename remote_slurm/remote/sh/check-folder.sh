# shellcheck shell=sh
# DataRootFolder: can it be made and written, and how much goes into it?
#   >written yes         a file was written there, read back and removed
#   >free KIB            of the file system
#   >mode TEXT           who may enter, as ls shows it
#   >open yes            what is made there is open to others
#   >quota TEXT          a line of what `quota` or `lfs quota` says
# What a failed command says comes before.

write_file() {
    file=.remote-slurm/check.$$
    printf 'remote-slurm\n' >"$file" && [ "$(cat "$file")" = remote-slurm ] && rm -f "$file"
}

tell_quota() {
    for command in 'quota' "lfs quota -q -u $(id -un) ."; do
        command -v "${command%% *}" >/dev/null || continue
        # shellcheck disable=SC2086 # the words of a command
        timeout -k 5 20 $command 2>/dev/null </dev/null | grep '[0-9]' | while IFS= read -r line; do
            reply "quota $line"
        done
    done
}

check_folder() {
    enter_root || return
    if write_file; then
        reply "written yes"
    fi
    reply "free $(timeout -k 5 20 df -Pk . | awk 'NR == 2 { print $4 }')"
    # shellcheck disable=SC2012 # the mode is what ls is for
    reply "mode $(ls -ld . | cut -c 1-10)"
    is_private || reply "open yes"
    tell_quota
}

check_folder
