# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # sourced after runner.sh, whose variables it uses
# What Enroot needs:
#
#   enroot_storage                         a folder for the containers of this job
#
# And of the next container:
#
#   enroot_container NAME FILE PROGRAM...  an image becomes a container there

# Containers of all pods have the same names, and RuntimeEnvironment may name a folder that jobs share.
enroot_storage() {
    export ENROOT_DATA_PATH=$ENROOT_DATA_PATH/remote-slurm-$SLURM_JOB_ID
    leftovers+=("$ENROOT_DATA_PATH")
}

enroot_container() {
    local name=$1 image=$2 said
    shift 2
    said=$("$@" create --force --name "$name" "$image" 2>&1 </dev/null) && return
    echo "image $image cannot be used by $*: $said"
    return 1
}
