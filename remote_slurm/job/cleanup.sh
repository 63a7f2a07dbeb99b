# shellcheck shell=bash
# What a job leaves on its node and in the pod's folder is removed when the job ends, and by the account's next job on that
# node if this one was killed.

# Secrets, and files on the node, never outlive the job.
clean_up() {
    local exit_code=$? folders=(scratch .runner .reserve "${leftovers[@]}")
    # first, since Slurm may give the rest little time
    may_run_again || { folders+=(secret); rm -rf secret 2>/dev/null; }
    remove_empty_output "$exit_code"
    runtime_hook close
    ((${#background_pids[@]})) && kill "${background_pids[@]}" 2>/dev/null
    end_log_writers
    rm -rf -- "${folders[@]}" 2>/dev/null && return
    # a container may have taken its own folders' write permission away
    chmod -R u+rwX -- "${folders[@]}" 2>/dev/null
    rm -rf -- "${folders[@]}"
}

# Of a job that has succeeded, Slurm has nothing to print any more. It prints into the file why it has ended another one.
remove_empty_output() {  # EXIT_CODE
    local output=job-$job_id.out
    [[ $1 != 0 || -s $output || -n $local_root ]] || rm -f "$output"
}

# Slurm stops a job before it requeues it, and secrets are not sent again: they are kept, at most until the pod is deleted.
may_run_again() {
    [[ $failed_reason == JobStopped && ! -e $control/claims/$pod.deleted ]] && grep -q '^#SBATCH --requeue' job.sh
}

# own_until_end FOLDER: it ends with the job. The file beside it says which process has it, for jobs that come later.
own_until_end() {
    leftovers+=("$1" "$1.owner")
    identify && (set -C && printf '%s\n' "${identity[*]}" >"$1.owner") 2>/dev/null
    return 0
}

# Sets `identity` to what distinguishes this job's shell from every other process: its node, the boot, the namespace of its
# id, its id and its start. Fails if /proc shows the processes of another namespace.
identify() {
    local boot start
    [[ -n ${SLURMD_NODENAME-} && /proc/self -ef /proc/$BASHPID ]] && start=$(start_of "$$") &&
        read -r boot </proc/sys/kernel/random/boot_id || return
    identity=("${SLURM_CLUSTER_NAME-}/$SLURMD_NODENAME/$(uname -n)" "$boot" "$(readlink /proc/self/ns/pid)" "$$" "$start")
    ((${#identity[@]} == 5)) && [[ ${identity[*]} =~ ^[^\ ]+\ [^\ ]+\ [^\ ]+\ [0-9]+\ [0-9]+$ ]]
} 2>/dev/null

# In clock ticks after the boot: starttime in proc(5). The name of the program may hold anything.
start_of() {
    local stat
    read -r stat <"/proc/$1/stat" || return
    read -r -a stat <<<"${stat##*) }"
    printf '%s\n' "${stat[19]}"
} 2>/dev/null

# Folders in memory and on the node's disk that jobs of the account left there, since they were killed: secrets may be in
# them. Only those are removed whose process has certainly ended: TMPDIR may be on a file system that other nodes share.
remove_dead_jobs() {
    local place owner folder identity=()
    identify || return 0
    for place in "$shm" "${TMPDIR:-/tmp}" /tmp; do
        for owner in "$place"/remote-slurm-[0-9]*-??????.owner; do
            [[ -f $owner && -O $owner && ! -L $owner ]] || continue
            folder=${owner%.owner}
            is_left_behind "$owner" || continue
            is_still_used "${folder##*/}" && continue
            if [[ -d $folder && -O $folder && ! -L $folder ]]; then
                rm -rf -- "$folder" 2>/dev/null || { chmod -R u+rwX -- "$folder"; rm -rf -- "$folder"; } 2>/dev/null
            fi
            [[ -e $folder ]] || rm -f -- "$owner" 2>/dev/null
        done
    done
}

# is_left_behind FILE: whether the process that the file names has certainly ended. An earlier boot of this node ended all of its
# processes. Processes of another node, or of another namespace, cannot be seen from here.
is_left_behind() {
    local node boot space id start now
    read -r node boot space id start <"$1" && [[ $id =~ ^[1-9][0-9]*$ && $start =~ ^[0-9]+$ ]] || return
    [[ $node == "${identity[0]}" ]] || return
    [[ $boot == "${identity[1]}" ]] || return 0
    [[ $space == "${identity[2]}" ]] || return
    kill -0 "$id" 2>/dev/null || return 0
    now=$(start_of "$id") && [[ $now =~ ^[0-9]+$ && $now != "$start" ]]
} 2>/dev/null

# Whether a process has the folder's name in its environment: what ends podman's containers after a job that was killed needs
# the folder until they have ended.
is_still_used() {
    grep -qsF -- "$1" /proc/[0-9]*/environ
}
