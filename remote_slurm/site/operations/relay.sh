# shellcheck shell=sh
# shellcheck disable=SC2154 # step, on_node, hello, quiet, perl and python are set in front of this text
# Runs a relay on the node of a job, as a step of the job: standard input and output are its own (site/relay.py). What
# srun prints is kept apart, and follows when the step has ended:
#   >ended CODE    srun's exit code; all lines after it are its messages

# Profiles and surrounding allocations set options of srun, which would bind the step to other CPUs, or put a label in
# front of each line.
unset_options() {
    for name in $(env | sed -n 's/^\(S[LR]U[RN]M*_[A-Za-z0-9_]*\)=.*/\1/p'); do
        case $name in
        SLURM_CONF* | SLURM_JWT | SLURM_ROOT | SLURM_HOME | SLURM_PREFIX) ;;
        SLURM_* | SRUN_*) unset "$name" ;;
        esac
    done
}

relay() {
    unset_options
    messages=$(eval "$step" '"$on_node" relay "$hello" "$quiet" "$perl" "$python"' 2>&1 >&4 4>&-)
    printf '\n>ended %s\n%s\n' "$?" "$messages"
} 4>&1

# Expanded by the node's shell. Folders of the system come first: containers may write to those of the account.
# shellcheck disable=SC2016,SC2034
on_node='PATH=/usr/bin:/bin:/usr/local/bin:/usr/libexec:$PATH
for each in perl python3 platform-python; do
    program=$(command -v "$each") || continue
    case $each in
    perl) exec env -i PATH="$PATH" "$program" -e "$3" -- "$1" "$2" ;;
    *) exec env -i PATH="$PATH" "$program" -I -c "$4" "$1" "$2" ;;
    esac
done
echo "the node has neither perl nor python3, which forward connections there" >&2
exit 127'

relay
