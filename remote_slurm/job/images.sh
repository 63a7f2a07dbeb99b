# shellcheck shell=bash
# Images that the job pulls; job.sh says which, before it starts containers:
#
#   images retries=N NAME...   bring what the file `images` names into the cache; the containers wait for it
#
# If an image cannot be pulled, only its own containers wait. The supervisor of each tries again, up to N times, and then ends the
# container: a job cannot wait for ever, as a kubelet does.

pull_backoff=10  # seconds, as on a kubelet: 10 s, 20 s, 40 s, ... and never more than 300 s

images() {
    image_retries=${1#retries=}
    shift
    record_waiting ContainerCreating "images are being pulled on $(hostname)" "$@"
    # in a process of its own, so that a stop is noticed while it runs
    /bin/sh "${lib:-.}/pull.sh" node . &
    puller=$!
    await "$puller"
    puller=''
}

# In the supervisor: wait for the container's image. While it is missing, the record has the reason, as on a kubelet; after
# the last attempt, `no_image` and `no_image_reason` have it.
await_image() {
    local retries=$image_retries seconds=$pull_backoff late='' why why_reason
    [[ -z $no_image ]] || return
    trap 'stop_waiting' TERM
    until [[ -n $stopping ]] || is_pulled; do
        why_not_pulled
        no_image_reason=$why_reason no_image="$why_reason: $why"
        ((retries-- > 0)) || return
        late=yes
        say "$why; retrying in $seconds s"
        record "$name" waiting "$(now)" 0 0 0 "$why_reason" "$why"
        allow_next_container
        sleep_unless_stopped "$seconds"
        seconds=$((seconds < 160 ? seconds * 2 : 300))
        [[ -n $stopping ]] || pull_again
    done
    no_image='' no_image_reason=''
    if [[ -n $stopping ]]; then
        why_stopped
        no_image_reason=$why_reason no_image=$why
    elif [[ -n $late ]]; then
        unpack_image
        [[ -n $no_image ]] || recheck_mounts || no_image_reason=$failed_reason no_image=$failed
    fi
}

stop_waiting() {
    interrupted=yes
    stopping=yes
    [[ -z $puller ]] || kill -TERM "$puller" 2>/dev/null
}

pull_again() {
    /bin/sh "${lib:-.}/pull.sh" node . "$image" &
    puller=$!
    await "$puller"
    puller=
}

# Sets `why_reason` and `why` to what pull.sh has written.
why_not_pulled() {
    local file
    for file in "image.failed.$image" image.failed; do
        read -r why_reason why 2>/dev/null <"$file" && return
    done
    why_reason=ErrImagePull why='the pull of its image has ended'
}
