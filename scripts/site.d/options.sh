# shellcheck shell=bash
# shellcheck disable=SC2034  # the other parts read these globals
# The command line, parsed once into the globals below; nothing later looks at "$@".

NAME=site SUITE=trixie RTT=0 SBATCH_LATENCY=0 ACCOUNTING=false MIN_JOB_AGE=300 ENFORCE_MEMORY=false PREEMPTION=false
NO_SHARED_FS=false OUTPUT=text LOGIN=hpcuser
COMMAND=()

# The options that make one site different from another: what `up` compares with a site that is running already.
SITE_OPTIONS=(SUITE RTT SBATCH_LATENCY ACCOUNTING MIN_JOB_AGE ENFORCE_MEMORY PREEMPTION NO_SHARED_FS)

parse_options() {
    local command=$1
    shift
    while (($#)); do
        case $1 in
        --) COMMAND=("${@:2}") && break ;;
        -h | --help) show_help --help ;;
        --accounting) allow "$command" "$1" up && ACCOUNTING=true && shift ;;
        --enforce-memory) allow "$command" "$1" up && ENFORCE_MEMORY=true && shift ;;
        --no-shared-fs) allow "$command" "$1" up && NO_SHARED_FS=true && shift ;;
        --preemption) allow "$command" "$1" up && PREEMPTION=true && shift ;;
        --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
        --*) set_option "$command" "$1" "${2-}" && shift $(($# > 1 ? 2 : 1)) ;;
        *) COMMAND=("$@") && break ;;
        esac
    done
    check_command "$command"
}

set_option() {
    local command=$1 value=$3
    case $2 in
    --name) check "$2" "$value" '^[a-z][a-z0-9-]{0,29}$' 'lower-case letters, digits and -' && NAME=$value ;;
    --suite) allow "$command" "$2" up && check "$2" "$value" '^(trixie|bookworm|sid)$' 'trixie, bookworm or sid' && SUITE=$value ;;
    --rtt) allow "$command" "$2" up && check_number "$2" "$value" 'milliseconds' && RTT=$value ;;
    --sbatch-latency) allow "$command" "$2" up && check_number "$2" "$value" 'milliseconds' && SBATCH_LATENCY=$value ;;
    --min-job-age) allow "$command" "$2" up && check_number "$2" "$value" 'seconds' && MIN_JOB_AGE=$value ;;
    --output) allow "$command" "$2" up status && check "$2" "$value" '^(text|json)$' 'text or json' && OUTPUT=$value ;;
    --user) allow "$command" "$2" ssh && check "$2" "$value" '^[a-z]+$' 'hpcuser, alice or bob' && LOGIN=$value ;;
    *) usage "$command has no option $2" ;;
    esac
}

check() { [[ ${2-} =~ $3 ]] || usage "$1 takes $4, not '$2'"; }

# Without leading zeros, so that bash's arithmetic does not read octal numbers; up to a day in milliseconds.
check_number() { check "$1" "$2" '^(0|[1-9][0-9]{0,7})$' "a whole number of $3"; }

allow() {
    local command
    for command in "${@:3}"; do
        [[ $1 != "$command" ]] || return 0
    done
    usage "$1 has no option $2"
}

check_command() {
    case $1 in
    ssh) ;;
    exec) ((${#COMMAND[@]})) || usage 'exec needs a command: scripts/site exec -- squeue' ;;
    *) ((${#COMMAND[@]} == 0)) || usage "$1 takes options only, not '${COMMAND[0]}'" ;;
    esac
}

usage() {
    printf 'site: %s (see scripts/site --help)\n' "$1" >&2
    exit 2
}

show_help() {
    case $1 in
    -h | --help | help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$PARTS/../site" && exit 0 ;;
    '') usage 'one of up, down, status, ssh, exec is needed' ;;
    *) usage "there is no command '$1': up, down, status, ssh, exec" ;;
    esac
}
