# shellcheck shell=bash
# Network for containers of nodes that have none (Tsocks): ssh from the node to a host that has it serves as a SOCKS proxy,
# and libtsocks.so, loaded into every program that is dynamically linked, leads their TCP connections there.
#
#   tsocks HOST LIBRARY [PLACE]   both from the configuration; they may contain variables of the node, such as $WORK.
#                                 PLACE is where containers find the folder `tsocks`
#
# The account's own key and known_hosts are used, without questions. The tunnel ends with the job.

tsocks() {
    local host library port tries place=${3:-"$PWD/tsocks"}
    eval "host=\"$1\" library=\"$2\""
    rm -rf tsocks
    if ! { mkdir tsocks && cp -L -- "$library" tsocks/libtsocks.so; } 2>/dev/null; then
        fail NotStarted "TsocksPath $library cannot be read on node $(hostname)"
        return
    fi
    for tries in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))  # below the ports that the kernel gives to connections
        open_tunnel "$host" "$port" && break
        port=''
    done
    if [[ -z $port ]]; then
        fail NotStarted "no tunnel to TsocksLoginNode $host from node $(hostname): $(tail -n 1 tsocks/ssh.log)"
        return
    fi
    printf '%s\n' 'local = 127.0.0.0/255.0.0.0' 'server = 127.0.0.1' 'server_type = 5' "server_port = $port" \
        >tsocks/tsocks.conf
    preload "$place"
}

# Returns once the port accepts connections; ssh ends if another process has the port. It must not read the job's input, nor
# outlive the job.
open_tunnel() {
    local until=$((SECONDS + 30)) tunnel
    ! tunnel_answers "$2" || return 1
    ssh -N -D "127.0.0.1:$2" -o ExitOnForwardFailure=yes -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=30 \
        -o ControlMaster=no -o ControlPath=none -o ForwardAgent=no -- "$1" </dev/null >tsocks/ssh.log 2>&1 &
    tunnel=$!
    disown "$tunnel"
    while ((SECONDS < until)) && kill -0 "$tunnel" 2>/dev/null; do
        if tunnel_answers "$2"; then
            background_pids+=("$tunnel")
            return 0
        fi
        sleep 0.2
    done
    kill "$tunnel" 2>/dev/null
    return 1
}

tunnel_answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Sets LD_PRELOAD in each container; the script that replaces enroot's /etc/rc has the command at its end.
preload() {
    local file first variables
    printf -v variables 'LD_PRELOAD=%q\nTSOCKS_CONF_FILE=%q' "$1/libtsocks.so" "$1/tsocks.conf"
    for file in secret/env-*; do
        first=''
        IFS= read -r first <"$file"
        case $first in
            'set -a') printf '%s\n' "$first" "$variables" "$(tail -n +2 "$file")" >"$file.new" && mv -f "$file.new" "$file" ;;
            # a script of Apptainer's, which exports what it sets
            if\ *) printf 'export %s\n' "${variables//$'\n'/$'\n'export }" >>"$file" ;;
            *) printf '%s\n' "$variables" >>"$file" ;;
        esac
    done
}
