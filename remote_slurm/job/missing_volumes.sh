# shellcheck shell=bash
# Volumes that the job cannot make. job.sh says, before it starts a container:
#
#   lacks SENTENCE    the container does without a volume: the sentence is at the top of its log, and in its message if it fails

lacks() {
    missing+=("$1")
}

log_missing_volumes() {
    ((${#missing[@]})) && printf '(remote-slurm: %s)\n' "${missing[@]}" >>"logs/$name.log"
}

add_missing_volumes_to_message() {
    local sentence
    ((code != 0)) || return
    for sentence in "${missing[@]}"; do
        message=$sentence${message:+; $message}
    done
}
