# shellcheck shell=sh
# shellcheck disable=SC2154 # bash is set in front of this text
# Looks at a login node for `remote-slurm init`, and changes nothing there.
#   >account NAME               the user name
#   >host NAME                  the login node
#   >home PATH                  the home folder
#   >command NAME PATH          a Slurm command in the PATH of sessions
#   >elsewhere NAME PATH        one that only the login profile, or no PATH, has
#   >runtime NAME PATH          a container runtime
#   >module NAME                a container runtime that `module load NAME` adds to the PATH
#   >folder NAME KIB TYPE PATH  a folder that belongs to the account: HOME, the variable that names it, or `path`; with the
#                               free space and the type of its file system
#   >association TEXT           account|partition|QOS of the account, from sacctmgr
#   >defaultaccount NAME
#   >share NAME                 an account, from sshare
#   >end yes

slurm_commands='sbatch scancel squeue sinfo scontrol srun'
usual_folders='/usr/local/bin /opt/slurm/bin /opt/slurm/current/bin /opt/slurm/default/bin /usr/local/slurm/bin
    /cm/shared/apps/slurm/current/bin /usr/slurm/bin /sw/slurm/bin'

# What a login shell has: sessions of a service read no profile. Its other output is noise.
# shellcheck disable=SC2016 # bash expands it
in_profile='
for name in sbatch scancel squeue sinfo scontrol srun apptainer singularity podman enroot; do
    path=$(type -P "$name") && printf "%s\n" "@command $name $path"
done
for name in SCRATCH PSCRATCH CSCRATCH GSCRATCH SCRATCHDIR WORK WORKDIR WRKDIR; do
    [ -z "${!name}" ] || printf "%s\n" "@variable $name ${!name}"
done
if [ "$(type -t module)" = function ]; then
    for name in apptainer singularity; do
        (module load "$name" && type -P "$name") >/dev/null 2>&1 && printf "%s\n" "@module $name"
    done
fi
true'

read_profile() {
    profile=$(timeout -k 2 40 "$bash" -lc "$in_profile" </dev/null 2>/dev/null | grep '^@')
}

# Prints the rest of each line of the profile with these words.
profiled() {  # WORDS
    printf '%s\n' "$profile" | sed -n "s|^@$1 ||p"
}

find_slurm() {  # NAME
    path=$(command -v "$1")
    case $path in
        /*) reply "command $1 $path" && return ;;
    esac
    path=$(profiled "command $1" | head -n 1)
    for folder in $usual_folders; do
        [ -n "$path" ] || [ ! -x "$folder/$1" ] || path=$folder/$1
    done
    [ -z "$path" ] || reply "elsewhere $1 $path"
}

find_runtimes() {
    for name in apptainer singularity podman enroot; do
        path=$(command -v "$name")
        [ -n "$path" ] || path=$(profiled "command $name" | head -n 1)
        [ -z "$path" ] || reply "runtime $name $path"
    done
    profiled module | while IFS= read -r name; do
        reply "module $name"
    done
}

# Only folders that belong to the account: whoever owns a folder can replace what is in it.
look_at_folder() {  # NAME PATH
    case $2 in
        /*) [ -d "$2" ] && [ -w "$2" ] && [ -n "$(find "$2/" -maxdepth 0 -user "$(id -u)" 2>/dev/null)" ] || return ;;
        *) return ;;
    esac
    # shellcheck disable=SC2046 # two words
    set -- "$1" "$2" $(timeout -k 2 10 df -Pk "$2" 2>/dev/null | awk 'NR == 2 { print $4, $6 }')
    type=$(awk -v mount="${4:-/}" '$2 == mount { type = $3 } END { print type }' /proc/mounts 2>/dev/null)
    reply "folder $1 ${3:-unknown} ${type:-unknown} $2"
}

look_at_folders() {
    look_at_folder HOME "$HOME"
    profiled variable | while IFS= read -r line; do
        look_at_folder "${line%% *}" "${line#* }"
    done
    me=$(id -un)
    for folder in "/scratch/$me" "/work/$me" "/scratch/users/$me" "/lustre/scratch/$me" "/gpfs/scratch/$me" "/data/$me"; do
        look_at_folder path "$folder"
    done
}

look_at_accounts() {
    me=$(id -un)
    timeout -k 2 20 sacctmgr --noheader --parsable2 show associations where "user=$me" format=Account,Partition,QOS \
        </dev/null 2>/dev/null | head -n 200 | sed 's/^/>association /'
    timeout -k 2 20 sacctmgr --noheader --parsable2 show user where "name=$me" format=DefaultAccount \
        </dev/null 2>/dev/null | head -n 1 | sed 's/^/>defaultaccount /'
    # sacctmgr may be closed to users, and then print nothing
    timeout -k 2 20 sshare --noheader --parsable2 --format=Account </dev/null 2>/dev/null | head -n 200 |
        sed 's/^ *//; s/^/>share /'
}

survey() {
    reply "account $(id -un)"
    reply "host $(uname -n)"
    reply "home $HOME"
    read_profile
    for name in $slurm_commands; do
        find_slurm "$name"
    done
    find_runtimes
    look_at_folders
    look_at_accounts
    reply "end yes"
}

survey
