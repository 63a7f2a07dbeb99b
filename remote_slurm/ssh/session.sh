#!/bin/sh
# The site's half of a session: reads scripts from standard input and runs each one only when it has arrived whole.
# Sent into a fresh /bin/sh, which may read ahead while it reads this text: nothing may follow before the sign of life.
#
#   asked     kind nonce script_size payload_size <newline> script payload
#   answered  RS nonce begin RS  whatever the script prints, both streams  RS nonce end exit-code RS
#
#   asked     keep nonce text_size name <newline> text
#   answered  nothing: scripts that follow find the text in the variable kept_NAME

# A startup file has put it in the place of /bin/sh; it reads no further than it runs.
case $0 in *zsh) exec /bin/sh ;; esac

serve() {
    umask 077
    # Profiles set these for people; they change what Slurm's commands do and print. Our own names must not be exported.
    unset TMOUT SLURM_CLUSTERS SLURM_TIME_FORMAT SLURM_BITSTR_LEN SLURM_DEBUG_FLAGS SLURM_JSON SLURM_YAML
    unset name kind nonce script script_size payload_size code take
    for name in $(env | sed -n 's/^\([A-Z]*_[A-Za-z0-9_]*\)=.*/\1/p'); do
        case $name in
        SBATCH_* | SQUEUE_* | SACCT_* | SINFO_* | SCANCEL_* | SCONTROL_* | SDIAG_* | SSTAT_*) unset "$name" ;;
        esac
    done
    exec 2>&1
    choose_reader
    printf '\036%s ready\036' "$1"
    while read -r kind nonce script_size payload_size; do
        script=$($take "$script_size")
        case $script in
        *"#$nonce") ;;
        *) exit 0 ;; # cut off on the way
        esac
        if [ "$kind" = keep ]; then
            eval "kept_$payload_size=\$script"
            continue
        fi
        printf '\036%s begin\036' "$nonce"
        case $kind$payload_size in
        run0) (eval "$script") </dev/null ;;
        run*) $take "$payload_size" | (
            (eval "$script")
            code=$?
            # what the script left would be taken for the next one; usually it is nothing, which needs no process
            if read -r rest; then cat >/dev/null; fi
            exit "$code"
        ) ;;
        attach*) attach ;;
        *) follow ;;
        esac
        printf '\036%s end %s\036' "$nonce" "$?"
        [ "$kind" = run ] || break
    done
}

# Sets `take` to a command that reads exactly so many bytes: `head` of BusyBox, toybox and BSD reads further than its option
# says, and what follows would be lost. A program is one process less than a function.
choose_reader() {
    if [ "$(printf abc | { head -c 1 >/dev/null; cat; })" = bc ]; then
        take='head -c'
    elif [ "$(printf ab | dd bs=1 count=1 iflag=fullblock 2>/dev/null)" = a ]; then
        take=take_blocks
    else
        take=take_bytes
    fi
}

take_blocks() {
    [ "$1" -lt 65536 ] || dd bs=65536 count=$(($1 / 65536)) iflag=fullblock 2>/dev/null
    [ $(($1 % 65536)) -eq 0 ] || dd bs=$(($1 % 65536)) count=1 iflag=fullblock 2>/dev/null
}

take_bytes() {
    dd bs=1 count="$1" 2>/dev/null # slow, and everywhere
}

# A script whose output is followed ends when the sidecar closes the session. sshd closes standard input then. It has made
# this shell the leader of a process group, which contains all processes of the script.
follow() {
    exec 3<&0 # a background process gets /dev/null as its standard input
    (
        trap '' TERM
        cat <&3
        kill -TERM 0
        sleep 2
        kill -KILL 0
    ) >/dev/null 2>&1 &
    (eval "$script") </dev/null 3<&-
}

# A script that reads what the client sends, and ends when the client is gone: its input ends then, and it is killed if it
# goes on. If the script ends first, nothing else of the group may keep the session open.
attach() {
    exec 3<&0
    {
        trap '' TERM
        cat <&3
        exec >/dev/null
        sleep 5
        kill -TERM 0
        sleep 2
        kill -KILL 0
    } 2>/dev/null | {
        exec 3<&-
        (eval "$script")
        printf '\036%s end %s\036' "$nonce" "$?"
        kill -KILL 0
    }
}
