# shellcheck shell=bash
# What Enroot does in its own way: the runner's runtime_hook calls some of these functions. job.sh says
#
#   use_enroot                             containers run under Enroot
#   enroot_storage                         a folder for the containers of this job
#
# And of the next container:
#
#   enroot_container NAME FILE PROGRAM...  an image becomes a container there

use_enroot() {
    runtime=enroot
}

# The script that replaces the image's entry point is named /etc/rc, or by a file descriptor.
enroot_is_log_line() {
    case $1 in
        12[67]' /etc/rc: '*'exec: '* | 12[67]' /proc/self/fd/'*': '*'exec: '* | '1 enroot-'*': failed to '*) ;;
        *) return 1 ;;
    esac
}

enroot_is_start_error() {
    enroot_is_log_line "$1"
}

enroot_is_own_program() {
    [[ $1 == enroot* || $1 == squashfuse* || $1 == fuse* ]]
}

# NAME alone would be an empty variable where the node has none, which hides all GPUs.
enroot_pass_variable() {
    gpu_words+=(--env "$1=$2")
}

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
