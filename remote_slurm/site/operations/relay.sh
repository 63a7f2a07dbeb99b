# shellcheck shell=sh
# shellcheck disable=SC2154 # step, on_node, hello, quiet, perl and python are set in front of this text
# Runs a relay on the node of a job, as a step of the job: standard input and output are its own (site/relay.py). What
# srun prints is kept apart, and follows when the step has ended:
#   >ended CODE    srun's exit code; all lines after it are its messages

relay() {
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
