# shellcheck shell=bash
# What only the job knows. job.sh says, before it starts containers:
#
#   job_value MARK NAME TIMES BY   MARK is replaced by this value; an amount is multiplied and divided, and rounded up
#   fill_in FILE...                replace the marks in these files

job_values=()

job_value() {
    local value
    case $2 in
        address) value=$(node_address) ;;
        node) value=${SLURMD_NODENAME:-$(uname -n)} ;;
        cpu) value=${SLURM_CPUS_ON_NODE:-$(nproc)} ;;
        memory) value=$(job_memory) ;;
        storage) value=$(free_storage) ;;
    esac
    [[ $2 == address || $2 == node ]] || value=$(((value * $3 + $4 - 1) / $4))
    job_values+=(-e "s/${1%.}[.]/$value/g")
}

# Where Slurm runs the job again, another node has other values: the files with marks are kept.
fill_in() {
    local file marked mode
    mkdir -p secret/.marked
    for file; do
        marked=secret/.marked/${file//\//-}
        [[ -e $marked ]] || cp -p -- "$file" "$marked"
        mode=$(stat -c %a "$marked")
        if ! { LC_ALL=C sed "${job_values[@]}" "$marked" >"$file.filled" && chmod "$mode" "$file.filled" &&
            mv -f -- "$file.filled" "$file"; }; then
            fail NotStarted "the values of the job cannot be written into $file"
        fi
    done
}

# In bytes. A job without a limit has the node's memory.
job_memory() {
    local mib=${SLURM_MEM_PER_NODE:-$((${SLURM_MEM_PER_CPU:-0} * ${SLURM_CPUS_ON_NODE:-1}))} name kib
    if [[ $mib =~ ^[0-9]+$ ]] && ((mib > 0)); then
        echo $((mib * 1048576))
        return
    fi
    while read -r name kib _; do
        [[ $name == MemTotal: ]] && echo $((kib * 1024))
    done </proc/meminfo
}

# In bytes, where containers write what is in no volume.
free_storage() {
    local free
    free=$(df -P -k "${TMPDIR:-.}" | tail -n 1)
    read -r _ _ _ free _ <<<"$free"
    echo $((free * 1024))
} 2>/dev/null
