# shellcheck shell=sh
# Tries whether DataRootFolder has room for a pod: writes as many files as a pod has, and 256 KiB, several times what a pod
# without volumes needs, and removes all of it.
#   >stored yes     everything was written
#   >tried          it has come to its end
# Messages of failed commands come first.

write_files() {
    mkdir "$trial" || return
    for name in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24; do
        true >"$trial/$name" || return
    done
    # a file system that compresses would store zeros for nothing
    head -c 262144 /dev/urandom >"$trial/bytes"
}

try_store() {
    export LC_ALL=C # PAM may set another language; reply.py compares the English texts of ENOSPC and EDQUOT
    enter_root || return
    trial=.remote-slurm/incoming/trial.$$
    write_files && reply "stored yes"
    rm -rf "$trial"
    reply tried
}

try_store
