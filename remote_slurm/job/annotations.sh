# shellcheck shell=bash
# What a pod's annotations, and similar fields of a create request, do in its job:
#
#   deadline seconds=N             stop the pod N seconds after its job began
#   job_workdir BASE KEEP NAME...  keep emptyDirs and scratch folders in BASE/POD
#   pre_exec [mesh]                run the annotation pre-exec, then containers.sh; with `mesh`, inside the mesh script
#   resume NAME grace=SECONDS      the first call in containers.sh, in place of `pod`
#   prefixed TEXT COMMAND...       run a container's command with singularity-commands in front of it
#   job_script NAME...             run the jobScript of the request in place of all containers
#   with_job_script NAME           a container that ends when that script ends

# --- the deadline ----------------------------------------------------------------------------------------------------

deadline() {
    deadline=${1#seconds=}
    watch_deadline &
    disown "$!"
    background_pids+=("$!")
}

watch_deadline() {
    trap 'kill "$sleeper" 2>/dev/null; exit' TERM
    local left=$((began + deadline - $(now)))
    sleep $((left > 0 ? left : 0)) &
    sleeper=$!
    wait "$sleeper"
    exceed_deadline
    evict "$why_reason" "$why"
}

# Sets `why_reason` and `why`, as why_stopped does.
exceed_deadline() {
    why_reason=DeadlineExceeded
    why="DeadlineExceeded: the pod was active for longer than its activeDeadlineSeconds, $deadline"
}

# Within 2 s, since Slurm's time limit may be the same, and end the job a moment earlier.
is_past_deadline() {
    local time
    printf -v time '%(%s)T' -1
    [[ -n ${deadline-} ]] && ((time + 2 >= began + deadline))
}

# --- the folder ------------------------------------------------------------------------------------------------------

# The pod's folder has a link to the workdir. A delete follows it on the login node and removes the workdir, unless KEEP is
# set.
job_workdir() {
    local name keep=$2 real
    workdir=$1/$pod
    shift 2
    rm -f workdir
    if ! is_apart_from_pods "$workdir"; then
        fail NotStarted "job-workdir ${workdir%/*} leads to $(readlink -m -- "$workdir") on node $(hostname), which is a link, or is in DataRootFolder"
        workdir=
        return
    fi
    if ! { mkdir -p -- "$workdir" && [[ ! -L $workdir && -O $workdir ]] &&
        { [[ -n $keep ]] || ln -s "$workdir" workdir; } && real=$(readlink -f -- "$workdir") &&
        [[ ${real##*/} == "$pod" ]] && is_apart_from_pods "$real"; }; then  # another pod may have replaced it by a link since
        fail NotStarted "job-workdir ${workdir%/*} cannot be used on node $(hostname)"
        workdir=
        return
    fi
    workdir=$real
    chmod 700 "$workdir"
    # a delete on the login node does not reach a node that shares no file system
    [[ -n $local_root && -z $keep ]] && leftovers+=("$workdir")
    for name; do
        [[ ! -L $workdir/$name ]] || rm -f "$workdir/$name"
        mkdir -p "$workdir/$name"
        rm -rf "volumes/$name"
        ln -s "$workdir/$name" "volumes/$name"
    done
}

# is_apart_from_pods FOLDER: whether the folder, with all links followed, is neither in DataRootFolder nor contains it, since
# that has files of pods that containers must not reach. The folder must not be a link, which another pod may have made.
is_apart_from_pods() {
    local root folder
    root=$(cd .. && pwd -P) && folder=$(readlink -m -- "$1") || return
    [[ ! -L $1 && $folder/ != "${root%/}/"* && ${root%/}/ != "${folder%/}/"* ]]
}

# --- shell of the pod ------------------------------------------------------------------------------------------------

# pre-exec runs in the job's own shell, so that its limits, modules and exported variables apply to the containers. A new shell
# then starts the containers, so that functions, options and traps of pre-exec do not. TMPDIR is a folder of the pod meanwhile.
pre_exec() {
    local remote_slurm_folder=$PWD  # a name that the pod's shell does not use
    rm -f .inside
    own_tmpdir
    [[ -e secret/wireguard.conf ]] && export WIREGUARD_CONFIG=$PWD/secret/wireguard.conf
    # shellcheck disable=SC2064 # expanded now: the pod's shell may change variables of the runner
    trap "start_containers_script $(printf %q "$PWD") '${1-}' \$?" EXIT
    if [[ -z $failed ]]; then
        # shellcheck source=/dev/null
        . ./secret/pre-exec.sh
    fi
    start_containers_script "$remote_slurm_folder" "${1-}"
}

# mesh.sh does not quote TMPDIR, so that the path must have no special characters.
own_tmpdir() {
    local parent=${TMPDIR-} job_tmpdir=${TMPDIR-} pod_tmpdir folder=''
    [[ $parent =~ ^/[A-Za-z0-9/._-]+$ && -d $parent && -w $parent ]] || parent=/tmp
    node_folder "$parent"
    pod_tmpdir=$folder
    export TMPDIR=$pod_tmpdir SLIRP_TMPDIR=$pod_tmpdir/slirp
    printf '%s=%q\n' began "$began" failed "$failed" failed_reason "$failed_reason" job_tmpdir "$job_tmpdir" pod_tmpdir "$pod_tmpdir" >secret/handed-on
}

# start_containers_script FOLDER MESH [EXIT_CODE]: with an exit code, the pod's shell has ended itself
start_containers_script() {
    trap - EXIT
    set +efuC +o posix
    IFS=$' \t\n'
    cd "$1" || exit 1
    [[ -n ${3-} ]] && hand_on_failure NotStarted "pre-exec ended the job with exit code $3"
    read_handed_on
    [[ -z $failed && -n $2 ]] && through_mesh
    exec "$BASH" -p ./containers.sh
}

hand_on_failure() {  # REASON SENTENCE
    printf '%s=%q\n' failed_reason "$1" failed "$2" >>secret/handed-on
}

read_handed_on() {
    # shellcheck source=/dev/null
    . ./secret/handed-on
    [[ ! -e .stopping ]] || fail JobStopped "$stopped"
}

# mesh.sh, which the Virtual Kubelet wrote, creates a network and runs its arguments in it. It splits them into words again,
# so that it gets one word. It does not pass signals on: pass_on sends them to the shell inside.
through_mesh() {
    printf '#!%s\ncd %q && exec %q -p ./containers.sh\n' "$BASH" "$PWD" "$BASH" >"$pod_tmpdir/containers"
    chmod 700 "$pod_tmpdir/containers"
    "$BASH" "$pod_tmpdir/mesh.sh" "$pod_tmpdir/containers" </dev/null &
    mesh=$!
    leftovers+=("$pod_tmpdir" "$pod_tmpdir.owner")
    trap pass_on TERM INT
    trap clean_up EXIT
    await "$mesh"
    [[ -e .inside ]] && exit "$code"
    [[ -n $failed ]] || fail NotStarted "the mesh script ended with exit code $code before any container could start"
    hand_on_failure "$failed_reason" "$failed"
}

pass_on() {
    interrupted=yes
    fail JobStopped "$stopped"
    : >.stopping
    if [[ -s .inside ]]; then
        kill -TERM "$(<.inside)" 2>/dev/null
    else
        kill -TERM "$mesh" 2>/dev/null
    fi
}

resume() {
    set +e  # see `pod`
    pod=$1
    grace=${2#grace=}
    local job_tmpdir pod_tmpdir
    read_handed_on
    leftovers+=("$pod_tmpdir" "$pod_tmpdir.owner")
    if [[ ${TMPDIR-} == "$pod_tmpdir"* ]]; then
        TMPDIR=$job_tmpdir
        [[ -n $TMPDIR ]] || unset TMPDIR
    fi
    unset SLIRP_TMPDIR
    trap_signals
    printf '%s\n' "$BASHPID" >.inside
    # a stop that came before .inside was written could not signal this shell
    [[ ! -e .stopping ]] || fail JobStopped "$stopped"
}

# TEXT precedes the command on one line. It may be whole commands, or the beginning of this one. The inner shell writes its
# process id before it becomes the container, so that a stop signals the container.
prefixed() {
    local text=$1 started=.started.$BASHPID
    shift
    # shellcheck disable=SC2016 # the inner shell's own words
    set -- "$BASH" -c 'printf "%s\n" "$$" >"$0"; exec "$@"' "$started" "$@"
    trap 'pass_term "$started"' TERM
    eval "$text \"\$@\"" &
    await "$!"
    rm -f "$started"
    return "$code"
}

pass_term() {
    local pid
    interrupted=yes
    read -r pid 2>/dev/null <"$1" || exit 143
    kill -TERM "$pid" 2>/dev/null
}

# --- a script in place of containers ---------------------------------------------------------------------------------

# As with the reference plugin, the script may write run-NAME.out and run-NAME.status of each container in $workingPath.
job_script() {
    local name
    for name; do
        rm -f "run-$name.status"
        ln -sf "logs/$name.log" "run-$name.out"
    done
    export workingPath=$PWD SANDBOX=$PWD
    trap 'interrupted=yes; kill -TERM "$script" 2>/dev/null' TERM
    ./secret/job-script.sh &
    script=$!
    await "$script"
    printf '%s\n' "$code" >.job-script-ended
    code_of "$1"
}

with_job_script() {
    until [[ -s .job-script-ended ]]; do
        sleep 0.2
    done
    code_of "$1"
}

code_of() {
    local status
    read -r status 2>/dev/null <"run-$1.status" || read -r status <.job-script-ended
    [[ $status =~ ^[0-9]{1,3}$ ]] || status=1
    return "$status"
}
