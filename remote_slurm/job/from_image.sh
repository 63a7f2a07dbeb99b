# shellcheck shell=bash
# The image of the next container, if it is pulled, or if something must be made of it:
#
#   from_image KEY [FUNCTION WORD...]   KEY names it in the file `images`; `FUNCTION WORD...` makes what the runtime starts

from_image() {
    image=$1
    unpack_call=("${@:2}")
}

# A pull that fails now counts more than an image of a run before Slurm requeued the job.
is_pulled() {
    [[ -z $image ]] || [[ -e image/$image && ! -s image.failed && ! -s image.failed.$image ]]
}

# Sets `no_image` and `no_image_reason`, if it fails. Several containers may have one image.
unpack_image() {
    [[ -z $no_image ]] && ((${#unpack_call[@]})) && is_pulled || return 0
    if no_image=$("${unpack_call[@]}" 2>&1); then
        no_image=
    else
        no_image_reason=NotStarted
    fi
}
