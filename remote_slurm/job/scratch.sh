# shellcheck shell=bash
# Folders on the node that end with the job:
#
#   scratch NAME...   a folder for the /tmp, /var/tmp and home of each container

# The pod's own choice; else the node's disk where the site gives each job a folder there (TMPDIR, ours alone); else the
# pod's folder, which all nodes of the job see. It is not the node's /tmp, which may be memory, and where a killed job would leave things.
scratch() {
    local folder name
    rm -rf scratch  # of a run before Slurm requeued the job
    if [[ -n ${workdir-} ]]; then
        rm -rf "$workdir/scratch"
        leftovers+=("$workdir/scratch")
        mkdir "$workdir/scratch" && ln -s "$workdir/scratch" scratch
    elif [[ -d ${TMPDIR-} && -O $TMPDIR && -w $TMPDIR && ${SLURM_JOB_NUM_NODES-1} == 1 ]] &&
        node_folder "$TMPDIR"; then
        ln -s "$folder" scratch
    else
        mkdir scratch
    fi
    for name; do
        mkdir "scratch/$name" || fail NotStarted "no folder for /tmp can be made on node $(hostname)"
    done
}

# node_folder PARENT: make a folder on the node that ends with the job, and set `folder`
node_folder() {
    folder=$(mktemp -d "$1/remote-slurm-$SLURM_JOB_ID-XXXXXX" 2>/dev/null) && own_until_end "$folder"
}
