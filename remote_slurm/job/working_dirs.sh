# shellcheck shell=bash
# A workingDir that does not exist is made, as containerd and runc do. job.sh says, before it starts a container:
#
#   work_in_volume SOURCE PATH               its workingDir is PATH below a volume that it mounts
#   work_in_image PATH                       its workingDir is in the image
#
# The WORKDIR of an image comes to the same: see image_config.sh.

# A link that leads out of the volume means something else inside the container.
work_in_volume() {
    local source=$1 sub=$2 shown=$2 allowed=()
    guard work_in_volume "$@"
    (enter_source && enter_sub) 2>/dev/null
    return 0
}

work_in_image() {
    work_in_image=$1
}

# Only the runtime can look into every kind of image: it says that the folder does not exist when it cannot start the
# container. Then an empty folder is mounted there in each run.
lacks_working_dir() {
    [[ -n $work_in_image && $reason == StartError && ! -d scratch/.work/$name ]] && ((run_ended - run_began < 60)) || return
    runtime_hook lacks_working_dir "$message" || return
    as_in_kubernetes mkdir -p "scratch/.work/$name"
    runtime_hook mount_working_dir "scratch/.work/$name" "$work_in_image"
}

empty_working_dir() {
    local folder=scratch/.work/$name
    [[ -d $folder ]] || return 0
    rm -rf "$folder" 2>/dev/null || { chmod -R u+rwX "$folder"; rm -rf "$folder"; }
    as_in_kubernetes mkdir -p "$folder"
}

# What is made in the site's folders gets the modes that a kubelet gives: 0755 and 0644.
as_in_kubernetes() {
    (umask 022 && exec "$@") 2>/dev/null
}
