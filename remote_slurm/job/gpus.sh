# shellcheck shell=bash
# The GPUs of the job:
#
#   gpus   set the variables that name the GPUs that Slurm has given the job

# Of the node's environment, a container gets what the runtime is given: by variables, or by options, which are in `gpu_words`.
# If no cgroup hides other jobs' GPUs, a program takes the first one of the node unless a variable names its own.
gpus() {
    local name
    gpu_words=()
    for name in CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES GPU_DEVICE_ORDINAL; do
        [[ -n ${!name-} ]] || continue
        runtime_hook pass_variable "$name" "${!name}"
    done
}
