# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # sourced after runner.sh, whose variables it uses
# The GPUs of the job:
#
#   gpus   set the variables that name the GPUs that Slurm has given the job

# Nothing of the node's environment reaches a container but what has these prefixes, or with Enroot what `gpu_words` say.
# Where no cgroup hides the others' GPUs, a program takes the first one of the node unless it is told.
gpus() {
    local name
    gpu_words=()
    for name in CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES GPU_DEVICE_ORDINAL; do
        [[ -n ${!name-} ]] || continue
        export "APPTAINERENV_$name=${!name}" "SINGULARITYENV_$name=${!name}"
        gpu_words+=(--env "$name=${!name}")
    done
}
