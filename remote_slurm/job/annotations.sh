# shellcheck shell=bash
# What a pod's annotations, and the keys that are like them, do in its job:
#
#   deadline seconds=N             end the pod so many seconds after its job began
#   job_workdir BASE KEEP NAME...  emptyDirs and scratch folders lie in a folder of the pod's below BASE
#   pre_exec [mesh]                the pod's own shell; then containers.sh, inside mesh.sh where that was written
#   resume NAME grace=SECONDS      how containers.sh begins, in place of `pod`
#   prefixed TEXT COMMAND...       what singularity-commands puts in front of a container's command
#   job_script NAME...             the script that came with the request, in place of all containers
#   with_job_script NAME           a container that is over when that script is

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

# As why_stopped does.
exceed_deadline() {
    why_reason=DeadlineExceeded
    why="DeadlineExceeded: the pod was active for longer than its activeDeadlineSeconds, $deadline"
}

# Slurm's time limit may be the same one, and come a moment earlier.
is_past_deadline() {
    local time
    printf -v time '%(%s)T' -1
    [[ -n ${deadline-} ]] && ((time + 2 >= began + deadline))
}

# --- the folder ------------------------------------------------------------------------------------------------------

# The pod's folder has a link to it by the annotation's path, which the login node has too: it removes the folder with the
# pod, unless it is to be kept.
job_workdir() {
    local name keep=$2
    workdir=$1/$pod
    shift 2
    rm -f workdir
    if ! is_apart_from_pods "$workdir"; then
        fail NotStarted "job-workdir ${workdir%/*} leads to $(readlink -m -- "$workdir") on node $(hostname), which is a link, or lies in DataRootFolder"
        workdir=
        return
    fi
    if ! { mkdir -p -- "$workdir" && [[ ! -L $workdir && -O $workdir ]] &&
        { [[ -n $keep ]] || ln -s "$workdir" workdir; } && workdir=$(readlink -f -- "$workdir"); }; then
        fail NotStarted "job-workdir ${workdir%/*} cannot be used on node $(hostname)"
        workdir=
        return
    fi
    chmod 700 "$workdir"
    # nobody else reaches a node that shares no file system
    [[ -n $local_root && -z $keep ]] && leftovers+=("$workdir")
    for name; do
        [[ ! -L $workdir/$name ]] || rm -f "$workdir/$name"
        mkdir -p "$workdir/$name"
        rm -rf "volumes/$name"
        ln -s "$workdir/$name" "volumes/$name"
    done
}

# is_apart_from_pods FOLDER: whether the folder, with all links followed, neither lies in DataRootFolder, where the parts of
# pods are that containers must not reach, nor contains it; nor may it be a link itself, which some pod has made.
is_apart_from_pods() {
    local root folder
    root=$(cd .. && pwd -P) && folder=$(readlink -m -- "$1") || return
    [[ ! -L $1 && $folder/ != "${root%/}"/* && ${root%/}/ != "${folder%/}"/* ]]
}

# --- shell of the pod ------------------------------------------------------------------------------------------------

# It runs in the job's own shell, so that limits, modules and exported variables hold for the containers; another shell
# starts them then, so that nothing else of it can get in their way. TMPDIR is a folder of its own there.
pre_exec() {
    local remote_slurm_folder=$PWD  # a name that nothing else has
    rm -f .inside
    own_tmpdir
    [[ -e secret/wireguard.conf ]] && export WIREGUARD_CONFIG=$PWD/secret/wireguard.conf
    # shellcheck disable=SC2064 # as it stands now: nobody knows what the pod's shell does to our variables
    trap "start_containers_script $(printf %q "$PWD") '${1-}' \$?" EXIT
    if [[ -z $failed ]]; then
        # shellcheck source=/dev/null
        . ./secret/pre-exec.sh
    fi
    start_containers_script "$remote_slurm_folder" "${1-}"
}

# What mesh.sh is told does not stand in quotes there.
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

# mesh.sh, which the Virtual Kubelet wrote, makes a network and runs the command that it is given in it. It splits that
# into words again, so that it gets one word. It knows nothing of stops: they go to the shell inside.
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
    # a stop that came just now has not seen it
    [[ ! -e .stopping ]] || fail JobStopped "$stopped"
}

# The text stands in front of the command on one line, and may be whole commands, or the beginning of this one. What it
# runs writes down its process id before it becomes the container: that is who is told to stop.
prefixed() {
    local text=$1 started=.started.$BASHPID
    shift
    # shellcheck disable=SC2016 # the inner shell's own words
    set -- "$BASH" -c 'printf "%s\n" "$$" >"$0"; exec "$@"' "$started" "$@"
    trap 'tell "$started"' TERM
    eval "$text \"\$@\"" &
    await "$!"
    rm -f "$started"
    return "$code"
}

tell() {
    local pid
    interrupted=yes
    read -r pid 2>/dev/null <"$1" || exit 143
    kill -TERM "$pid" 2>/dev/null
}

# --- a script in place of containers ---------------------------------------------------------------------------------

# As with the reference plugin, it may leave run-NAME.out and run-NAME.status of each container in $workingPath.
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
