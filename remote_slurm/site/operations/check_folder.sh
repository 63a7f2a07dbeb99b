# shellcheck shell=sh
# DataRootFolder: can it be made and written, and how much goes into it?
#   >written yes         a file was written there, read back and removed
#   >free KIB            of the file system
#   >mode TEXT           who may enter, as ls shows it
#   >open yes            others can read or replace what is made there
#   >nosymlinks yes      its file system has no symbolic links
#   >caseless yes        names that differ in case only are one file
#   >shortnames yes      a name of 255 bytes is too long
#   >quota TEXT          a line of what `quota` or `lfs quota` says
# What a failed command says comes before.

write_file() {
    file=.remote-slurm/check.$$
    printf 'remote-slurm\n' >"$file" && [ "$(cat "$file")" = remote-slurm ] && rm -f "$file"
}

# 164 bytes is the longest name of ours, of a record in the spool: eCryptfs allows 143.
look_at_names() {
    name=.remote-slurm/incoming/case.$$
    true >"$name" && [ -e ".remote-slurm/incoming/CASE.$$" ] && reply "caseless yes"
    rm -f "$name"
    name=.remote-slurm/incoming/$(printf '%0255d' 0)
    true 2>/dev/null >"$name" || reply "shortnames yes"
    rm -f "$name"
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
    export LC_ALL=C # PAM may set another language; reply.py knows the English texts of ENOSPC and EDQUOT
    enter_root || return
    if write_file; then
        reply "written yes"
        look_at_names
        has_symlinks || reply "nosymlinks yes"
    fi
    reply "free $(timeout -k 5 20 df -Pk . | awk 'NR == 2 { print $4 }')"
    # shellcheck disable=SC2012 # the mode is what ls is for
    reply "mode $(ls -ld . | cut -c 1-10)"
    { is_trusted && is_private; } || reply "open yes"
    tell_quota
}

check_folder
