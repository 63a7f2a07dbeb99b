# shellcheck shell=sh
# shellcheck disable=SC2154 # values are set in front of this text
# Runs a relay on the node of a job, as a step of the job: standard input and output are its own (site/relay.py). Values:
#   step            srun's command line, without the command of the step
#   hello           the word by which the relay's first line is recognized
#   quiet           the relay ends after so many seconds without any input
#   port            only for one connection to this port; empty: for all connections
#   perl, python    the program of the relay in both languages
# A relay for one connection prints
#   RS HELLO begin RS       once it is about to connect
#   RS HELLO end CODE RS    when it has ended, and nothing else comes
# What srun prints is kept apart, and follows when the step has ended:
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
    messages=$(eval "$step" '"$on_node" relay "$hello" "$quiet" "$perl" "$python" "$port" "$bash"' 2>&1 >&4 4>&-)
    code=$?
    [ -z "$port" ] || printf '\036%s end %s\036' "$hello" "$code"
    printf '\n>ended %s\n%s\n' "$code" "$messages"
} 4>&1

# Expanded by the node's shell. Folders of the system come first: containers may write to those of the account.
# The first line is `HELLO many PROGRAM` of a relay for all connections, or `HELLO one PROGRAM` if the node has only what
# serves a single one.
# shellcheck disable=SC2016,SC2034
on_node='PATH=/usr/bin:/bin:/usr/local/bin:/usr/libexec:$PATH
hello=$1 port=$5
for each in perl python3 platform-python; do
    program=$(command -v "$each") || continue
    [ -z "$port" ] || break
    case $each in
    perl) exec env -i PATH="$PATH" "$program" -e "$3" -- "$hello many $each" "$2" ;;
    *) exec env -i PATH="$PATH" "$program" -I -c "$4" "$hello many $each" "$2" ;;
    esac
done

# Some builds of bash have no /dev/tcp.
usable() {
    command -v "$1" >/dev/null || return
    [ "$1" != bash ] || case $(LC_ALL=C bash -c ": </dev/tcp/127.0.0.1/1" 2>&1) in *"No such file"*) return 1 ;; esac
}

# Prints the address on which a program listens on the port (state 0A). The kernel prints IPv4 addresses in the order of
# the bytes of the processor: little-endian.
listening_address() {
    hex=$(printf %04X "$port") own= address= peer=
    # split in memory: to read line by line takes a system call for each byte, of a table that changes meanwhile
    for word in $(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null); do
        case $word.$address in
        0A.0100007F:$hex | 0A.00000000:$hex | 0A.00000000000000000000000000000000:$hex) echo 127.0.0.1; return ;;
        0A.00000000000000000000000001000000:$hex) echo ::1; return ;;
        0A.????????:$hex) own=${address%:*} ;;
        esac
        address=$peer peer=$word
    done
    [ -n "$own" ] || return
    first=${own#??????} second=${own#????} third=${own#??}
    echo "$((0x$first)).$((0x${second%??})).$((0x${third%????})).$((0x${own%??????}))"
}

# nc comes last: the one of OpenBSD goes on after the program has ended the connection, until the client has, too.
for each in socat bash nc; do
    usable "$each" || continue
    if [ -z "$port" ]; then
        echo "$hello one $each"
        exit
    fi
    address=$(listening_address) || exit 97
    printf "\036%s begin\036" "$hello"
    # Slurm sends signals that a pod asks for (--signal=USR1@600) to all steps of the job
    trap "" USR1 USR2 HUP INT QUIT ALRM
    case $each.$address in
    socat.*:*) exec env -i PATH="$PATH" socat - "TCP6:[$address]:$port,nodelay" ;;
    socat.*) exec env -i PATH="$PATH" socat - "TCP4:$address:$port,nodelay" ;;
    nc.*) exec env -i PATH="$PATH" nc "$address" "$port" ;;
    *) exec env -i PATH="$PATH" bash -c "$6" bash "$address" "$port" ;;
    esac
done
echo "the node has none of perl, python3, socat, a bash with /dev/tcp, and nc, which forward connections there" >&2
exit 127'

# shellcheck disable=SC2016,SC2034
bash='exec 3<>"/dev/tcp/$1/$2" || exit
exec 5<&0
cat <&5 >&3 &
cat <&3 5<&-
code=$?
kill $! 2>/dev/null
exit $code'

relay
