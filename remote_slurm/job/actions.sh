# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # stands behind runner.sh, whose variables it uses
# What probes and hooks do, beside `inside` (world.sh) and `sleep`. Each prints why it failed.
#
#   http_get http|https HOST PORT PATH [HEADER...]
#   tcp_socket HOST PORT
#   grpc PORT SERVICE

cannot=78  # the exit code where neither the node nor the image has what it takes (EX_CONFIG in sysexits.h)

tcp_socket() {
    : 2>/dev/null <>"/dev/tcp/$1/$2" || { echo "no connection to $1 port $2"; return 1; }
}

# Any answer from 200 to 399 is a success; certificates are not verified, as on a kubelet.
http_get() {
    local scheme=$1 host=$2 port=$3 path=$4 status=
    shift 4
    if [[ $scheme == http ]]; then
        status=$(http_request "$@" | plain_answer)
    else
        tls_answer "$@" || return
    fi
    if [[ -z $status ]]; then
        echo "no answer from $scheme://$host:$port$path"
        return 1
    fi
    ((status >= 200 && status < 400)) && return
    echo "$scheme://$host:$port$path answers with status $status"
    return 1
}

http_request() {
    local header host_header="Host: $host:$port"
    for header; do
        [[ ${header,,} == host:* ]] && host_header=$header
    done
    printf '%s\r\n' "GET $path HTTP/1.1" "$host_header" 'User-Agent: kube-probe/remote-slurm' 'Accept: */*' \
        'Connection: close'
    for header; do
        [[ ${header,,} == host:* ]] || printf '%s\r\n' "$header"
    done
    printf '\r\n'
}

plain_answer() {
    exec 3<>"/dev/tcp/$host/$port" || return
    cat >&3
    status_of <&3
} 2>/dev/null

status_of() {
    local line
    IFS= read -r line && [[ $line =~ ^HTTP/[0-9.]+\ ([0-9]{3}) ]] && echo "${BASH_REMATCH[1]}"
}

# With whatever the node has, else with what the image has. Headers may be secrets: they stand in no command line.
tls_answer() {
    if type -P curl >/dev/null; then
        status=$(curl_config "$@" | curl --config -)
    elif type -P openssl >/dev/null; then
        status=$(http_request "$@" | openssl s_client -quiet -connect "$host:$port" 2>/dev/null | status_of)
    elif type -P wget >/dev/null; then
        status=$(wget_answer "$@")
    elif ((${#world[@]})) && inside curl --version >/dev/null 2>&1; then
        status=$(curl_config "$@" | inside curl --config -)
    elif ((${#world[@]})) && inside openssl version >/dev/null 2>&1; then
        status=$(http_request "$@" | inside openssl s_client -quiet -connect "$host:$port" 2>/dev/null | status_of)
    else
        echo "https needs curl, openssl or wget, and neither the node nor the image has one"
        return "$cannot"
    fi
    [[ $status != 000 ]] || status=
}

curl_config() {
    local header
    printf '%s\n' silent insecure
    curl_option output /dev/null
    curl_option write-out '%{http_code}'
    curl_option user-agent kube-probe/remote-slurm
    curl_option url "$scheme://$host:$port$path"
    for header; do
        curl_option header "$header"
    done
}

curl_option() {
    local value=${2//\\/\\\\}
    printf '%s = "%s"\n' "$1" "${value//\"/\\\"}"
}

# It takes no options from a pipe.
wget_answer() {
    local options=.runner/wget.$BASHPID
    printf 'header = %s\n' "$@" >"$options"
    wget --config="$options" --quiet --no-check-certificate --max-redirect=0 --tries=1 \
        --server-response --output-document=/dev/null "$scheme://$host:$port$path" 2>&1 | sed 's/^ *//' | status_of
    rm -f "$options"
}

grpc() {
    local command=(grpc_health_probe "-addr=127.0.0.1:$1" ${2:+"-service=$2"} -connect-timeout=60s -rpc-timeout=60s)
    if type -P grpc_health_probe >/dev/null; then
        "${command[@]}"
        return
    fi
    inside "${command[0]}" -version >/dev/null 2>&1
    if (($? == 126 || $? == 127)); then
        echo "a grpc probe needs grpc_health_probe, and neither the node nor the image has it"
        return "$cannot"
    fi
    inside "${command[@]}"
}
