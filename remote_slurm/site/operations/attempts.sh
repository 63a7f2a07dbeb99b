# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # claims is set by the script that follows; marker, array, number, call and holder are for it
# Attempts to submit pods, for submit.sh and abandon.sh. The attempt of a pod, claims/POD.attempt, is an exclusive create right
# before sbatch. Its content is
#   nothing               sbatch is called for a job of its own
#   array NAME NUMBER     sbatch is called for an array, in which the pod has this number; a second line is for version 0.2.0
#   CODE and messages     sbatch has failed
# The outcome of an array is the same for all of its pods. Exclusive creates in its folder, arrays/NAME, decide it:
#   call     a link to `sbatch`, right before sbatch is called; to `void` if that must not happen any more
#   fence    a link to the id of the array, by sbatch or by the first task that starts; to `void` if no task may go on
#   failed   CODE and messages, if sbatch has failed
# If a call or fence is void, no job of the array runs a pod. The next attempt of a pod is then arrays/NAME/POD.attempt, which is
# exclusive, too. No attempt is removed: a script that is late finds the same ones.

# Sets marker to the file of the pod's last attempt, which does not exist if there is none that counts, and array and number to
# what it says. Also sets call and holder.
find_attempt() {
    marker=$claims/$pod.attempt
    while follows_void_array; do
        marker=.remote-slurm/arrays/$array/$pod.attempt
    done
}

follows_void_array() {
    array='' number='' word=''
    [ ! -s "$marker" ] || read -r word array number <"$marker" || word=
    [ "$word" = array ] || array=
    [ -n "$array" ] && look_at_array && is_void
}

# Pods of one array come one after another: sets call and holder once for all of them. A script that may have changed them
# empties `seen`. If abandon.sh was killed after it had moved the script of the array away, and the array has a job, moves it back.
look_at_array() {
    [ "$seen" != "$array" ] || return 0
    seen=$array call='' holder='' folder_of_array=.remote-slurm/arrays/$array
    [ ! -L "$folder_of_array/call" ] || call=$(readlink "$folder_of_array/call")
    [ ! -L "$folder_of_array/fence" ] || holder=$(readlink "$folder_of_array/fence")
    [ -e "$folder_of_array/job.sh" ] || ! is_id "$holder" || mv -f "$folder_of_array/given-up.sh" "$folder_of_array/job.sh" 2>/dev/null
}

is_void() {
    [ "$call" = void ] || [ "$holder" = void ]
}

seen=
