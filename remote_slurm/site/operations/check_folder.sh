# shellcheck shell=sh
# Checks whether DataRootFolder can be created and written, and how much space it has.
#   >written yes         a file was written there, read back and removed
#   >free KIB            of the file system
#   >mode TEXT           its mode, as ls prints it
#   >open yes            other accounts can read or replace files that are created in it
#   >nosymlinks yes      its file system has no symbolic links
#   >caseless yes        names that differ in case only are one file
#   >shortnames yes      a name of 255 bytes is too long
#   >quota TEXT          a line that `quota` or `lfs quota` prints
# Messages of failed commands come first.

write_file() {
    file=.remote-slurm/check.$$
    printf 'remote-slurm\n' >"$file" && [ "$(cat "$file")" = remote-slurm ] && rm -f "$file"
}

# The longest name, of a record in the spool, has 164 bytes; eCryptfs allows 143.
check_names() {
    name=.remote-slurm/incoming/case.$$
    true >"$name" && [ -e ".remote-slurm/incoming/CASE.$$" ] && reply "caseless yes"
    rm -f "$name"
    name=.remote-slurm/incoming/$(printf '%0255d' 0)
    true 2>/dev/null >"$name" || reply "shortnames yes"
    rm -f "$name"
}

reply_quota() {
    for command in 'quota' "lfs quota -q -u $(id -un) ."; do
        command -v "${command%% *}" >/dev/null || continue
        # shellcheck disable=SC2086 # splits the command into words
        timeout -k 5 20 $command 2>/dev/null </dev/null | grep '[0-9]' | while IFS= read -r line; do
            reply "quota $line"
        done
    done
}

check_folder() {
    export LC_ALL=C # PAM may set another language; reply.py compares the English texts of ENOSPC and EDQUOT
    enter_root || return
    if write_file; then
        reply "written yes"
        check_names
        has_symlinks || reply "nosymlinks yes"
    fi
    reply "free $(timeout -k 5 20 df -Pk . | awk 'NR == 2 { print $4 }')"
    # shellcheck disable=SC2012 # only ls prints the mode on every system
    reply "mode $(ls -ld . | cut -c 1-10)"
    { is_trusted && is_private; } || reply "open yes"
    reply_quota
}

check_folder
