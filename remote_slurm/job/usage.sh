# shellcheck shell=bash
# What the job has used so far, for the record of a container's end: domain/job_usage.py reads it. job.sh calls:
#
#   record_usage   from now on

record_usage() {
    records_usage=yes
}

# Sets `usage` to CPU_MILLISECONDS,SECONDS,CPUS,GPUS,PEAK,LIMIT,SOURCE, where `-` is a number that is not known; memory is in
# bytes. Nothing is estimated, and no process is started. Of a job with several nodes, this one shows too little. A supervisor
# has waited for the processes of its container, and the job's shell at its end for `all`.
measure_usage() {  # [all]
    local counts_all=${1-} cpu=- cpus=- gpus=- peak=- limit=- source=none cpu_folder='' memory_folder='' time
    printf -v time '%(%s)T' -1
    if [[ ${SLURM_JOB_NUM_NODES-} == 1 ]]; then
        read_reserved
        find_cgroups
        read_cgroup_cpu || read_times || cpu=-
        read_cgroup_memory
    fi
    usage=$cpu,$((time - began)),$cpus,$gpus,$peak,$limit,$source
} 2>/dev/null

# What Slurm has reserved; MEM_PER_NODE and MEM_PER_CPU are in MiB, and 0 is all of the node.
read_reserved() {
    local ids
    [[ ${SLURM_CPUS_ON_NODE-} =~ ^[1-9][0-9]{0,5}$ ]] && cpus=$SLURM_CPUS_ON_NODE
    if [[ ${SLURM_GPUS_ON_NODE-} =~ ^[0-9]{1,4}$ ]]; then
        gpus=$((10#$SLURM_GPUS_ON_NODE))
    elif [[ ${SLURM_JOB_GPUS-} =~ ^[0-9]{1,4}(,[0-9]{1,4})*$ ]]; then
        ids=${SLURM_JOB_GPUS//[!,]/}
        gpus=$((${#ids} + 1))
    fi
    if [[ ${SLURM_MEM_PER_NODE-} =~ ^[1-9][0-9]{0,8}$ ]]; then
        limit=$((SLURM_MEM_PER_NODE * 1048576))
    elif [[ ${SLURM_MEM_PER_CPU-} =~ ^[1-9][0-9]{0,8}$ && $cpus != - ]]; then
        limit=$((SLURM_MEM_PER_CPU * cpus * 1048576))
    fi
}

# Sets cpu_folder and memory_folder: those of the job itself, which Slurm calls job_ID. Above it are other jobs, and where no
# cgroup has this name, there is none.
find_cgroups() {
    local version controllers path own=() cpu_path='' memory_path=''
    while IFS=: read -r version controllers path; do
        [[ $path/ == */"job_$SLURM_JOB_ID"/* ]] || continue
        path=${path%%"/job_$SLURM_JOB_ID"*}/job_$SLURM_JOB_ID
        own+=("$path")
        case "$version,$controllers," in
            0,,) cpu_path=${cpu_path:-cgroup2:$path} memory_path=${memory_path:-cgroup2:$path} ;;
            *,cpuacct,*,memory,* | *,memory,*,cpuacct,*) cpu_path=cpuacct:$path memory_path=memory:$path ;;
            *,cpuacct,*) cpu_path=cpuacct:$path ;;
            *,memory,*) memory_path=memory:$path ;;
        esac
    done <"$process/cgroup"
    ((${#own[@]})) || return
    find_mounts
}

# A line is `ID PARENT DEVICE ROOT MOUNT_POINT OPTIONS... - TYPE SOURCE OPTIONS`: see proc(5). ROOT is the part of the
# hierarchy that is mounted.
find_mounts() {
    local root point rest kind
    while read -r _ _ _ root point rest; do
        rest=${rest#*' - '}
        kind=${rest%% *}
        case $kind in
            cgroup2) set_cgroup_folders cgroup2 ;;
            cgroup)
                case ,${rest##* }, in *,cpuacct,*) set_cgroup_folders cpuacct ;; esac
                case ,${rest##* }, in *,memory,*) set_cgroup_folders memory ;; esac
                ;;
        esac
    done <"$process/mountinfo"
}

set_cgroup_folders() {  # HIERARCHY
    local above=${root%/}
    [[ $cpu_path != "$1:$above"/* || -n $cpu_folder ]] || cpu_folder=$point${cpu_path#"$1:$above"}
    [[ $memory_path != "$1:$above"/* || -n $memory_folder ]] || memory_folder=$point${memory_path#"$1:$above"}
}

read_cgroup_cpu() {
    local word number
    [[ -n $cpu_folder ]] || return
    if read -r word number <"$cpu_folder/cpu.stat" && [[ $word == usage_usec && $number =~ ^[0-9]{1,18}$ ]]; then
        cpu=$((number / 1000))
    elif read -r number <"$cpu_folder/cpuacct.usage" && [[ $number =~ ^[0-9]{1,18}$ ]]; then
        cpu=$((number / 1000000))
    else
        return 1
    fi
    source=cgroup
}

# memory.peak exists since Linux 5.19. Above a petabyte, there is no limit.
read_cgroup_memory() {
    local number
    [[ -n $memory_folder ]] || return
    { read -r number <"$memory_folder/memory.peak" || read -r number <"$memory_folder/memory.max_usage_in_bytes"; } &&
        [[ $number =~ ^[0-9]{1,15}$ ]] && peak=$number
    { read -r number <"$memory_folder/memory.max" || read -r number <"$memory_folder/memory.limit_in_bytes"; } &&
        [[ $number =~ ^[0-9]{1,15}$ ]] && limit=$number
}

# The CPU time of processes that this shell has waited for, in hundredths of a second: cutime and cstime in proc(5), which are
# what times(2) returns. Containers of podman are processes of its monitor, which leaves the job's shell.
read_times() {
    local stat
    [[ $runtime != podman && ($supervisor == "$BASHPID" || -n $counts_all) ]] || return
    read -r stat <"$process/stat" && read -r -a stat <<<"${stat##*) }" || return
    [[ ${stat[13]} =~ ^[0-9]{1,12}$ && ${stat[14]} =~ ^[0-9]{1,12}$ ]] || return
    cpu=$(((stat[13] + stat[14]) * 10)) source=times
}
