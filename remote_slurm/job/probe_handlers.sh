# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # sourced after runner.sh, whose variables it uses
# What probes and hooks do, beside `inside` (exec_in_container.sh) and `sleep`. Each prints why it failed.
#
#   http_get http|https HOST PORT PATH [HEADER...]
#   tcp_socket HOST PORT
#   grpc PORT SERVICE

tcp_socket() {
    : 2>/dev/null <>"/dev/tcp/$1/$2" || { echo "no connection to $1 port $2"; return 1; }
}

# Any answer from 200 to 399 is a success, and certificates are not verified. As a kubelet does it (pkg/probe/http),
# redirections are followed to the same host, ten requests in all; another one is left alone, which is a success as well.
http_get() {
    local scheme=$1 host=$2 port=$3 path=$4 first=$2 status location asked=0 moved=
    shift 4
    while ((asked++ < 10)); do
        send_request "$@" || return
        ((status >= 200 && status < 400)) || { echo "$(shown_address) answers with status $status"; return 1; }
        [[ $status == 30[12378] && -n $location ]] || return 0
        read_location || { echo "$(shown_address) redirects to what is no address of the web: ${location%%\?*}"; return 1; }
        [[ ${host,,} == "${first,,}" ]] || { echo "it redirects to another host, where nobody goes: ${location%%\?*}"; return 0; }
    done
    echo "it redirects again and again, at last to $(shown_address)"
    return 1
}

# Without the query, which may hold a token: this text becomes a message of the pod.
shown_address() {
    printf %s "$scheme://$host:$port${path%%\?*}"
}

# Sets `status`, and `location` where the answer is a redirection.
send_request() {
    status='' location=''
    if [[ $scheme == http ]]; then
        read -r status location < <(http_request "$@" | plain_answer)
    else
        tls_answer "$@" || return
    fi
    [[ -n $status && $status != 000 ]] && return
    echo "no answer from $(shown_address)"
    return 1
}

# Sets scheme, host, port and path to where `location` leads from there, and `moved` where it tells a host.
read_location() {
    local to=$location folder=${path%%\?*}
    case $to in
        //*) to=$scheme:$to moved=yes ;;
        /*) to=$scheme://$host:$port$to ;;
        \?*) to=$scheme://$host:$port$folder$to ;;
        *://*) moved=yes ;;
        *) to=$scheme://$host:$port${folder%/*}/$to ;;
    esac
    [[ ! $to =~ [[:cntrl:][:space:]] && $to =~ ^(https?|HTTPS?)://([A-Za-z0-9._-]+)(:([0-9]{1,5}))?([/?][^#]*)?(#.*)?$ ]] || return
    scheme=${BASH_REMATCH[1],,} host=${BASH_REMATCH[2]} port=${BASH_REMATCH[4]} path=${BASH_REMATCH[5]}
    [[ -n $port ]] || { port=80; [[ $scheme == http ]] || port=443; }
    [[ $path == /* ]] || path=/$path
}

# The pod's own Host goes along as far as it stays where it was asked.
is_for_here() {
    [[ -z $moved || ${1,,} != host:* ]]
}

http_request() {
    local header host_header="Host: $host:$port" agent='User-Agent: kube-probe/remote-slurm' accept='Accept: */*'
    for header; do
        case ${header,,} in
            host:*) ! is_for_here "$header" || host_header=$header ;;
            user-agent:*) agent= ;;
            accept:*) accept= ;;
        esac
    done
    printf '%s\r\n' "GET $path HTTP/1.1" "$host_header" ${agent:+"$agent"} ${accept:+"$accept"} 'Connection: close'
    for header; do
        case ${header,,} in
            host:* | 'user-agent: ' | 'accept: ') ;;  # an empty one means none at all, as on a kubelet
            *) printf '%s\r\n' "$header" ;;
        esac
    done
    printf '\r\n'
}

plain_answer() {
    exec 3<>"/dev/tcp/$host/$port" || return
    cat >&3
    answer_of <&3
} 2>/dev/null

# STATUS, and the address behind it where it is a redirection
answer_of() {
    local line status location=
    IFS= read -r line && [[ $line =~ ^HTTP/[0-9.]+\ ([0-9]{3}) ]] || return
    status=${BASH_REMATCH[1]}
    while [[ $status == 3?? && -z $location ]] && IFS= read -r line && [[ -n ${line%$'\r'} ]]; do
        [[ ${line,,} == location:* ]] && location=${line#*:}
    done
    printf '%s %s\n' "$status" "${location%$'\r'}"
}

# A program of the node gets neither variables nor, by --disable or --config, settings of the account, which a container
# may have written: no proxy, no library, no option file.
clean() {
    (exec -c -- "$@")
}

# With whatever the node has, else with what the image has. Headers may be secrets: they stand in no command line.
tls_answer() {
    if type -P curl >/dev/null; then
        read -r status location < <(curl_config "$@" | clean curl --disable --config -)
    elif type -P openssl >/dev/null; then
        read -r status location < <(
            http_request "$@" | clean openssl s_client -quiet -connect "$host:$port" 2>/dev/null | answer_of
        )
    elif type -P wget >/dev/null; then
        wget_answer "$@"
    elif ((${#world[@]})) && inside curl --version >/dev/null 2>&1; then
        read -r status location < <(curl_config "$@" | inside curl --config -)
    elif ((${#world[@]})) && inside openssl version >/dev/null 2>&1; then
        read -r status location < <(
            http_request "$@" | inside openssl s_client -quiet -connect "$host:$port" 2>/dev/null | answer_of
        )
    else
        echo "https needs curl, openssl or wget, and neither the node nor the image has one"
        return "$cannot"
    fi
    return 0
}

curl_config() {
    local header
    printf '%s\n' silent insecure
    curl_option output /dev/null
    curl_option write-out '%{http_code} %{redirect_url}\n'
    curl_option user-agent kube-probe/remote-slurm
    curl_option url "$scheme://$host:$port$path"
    for header; do
        is_for_here "$header" && curl_option header "$(as_curl_writes "$header")"
    done
}

# It leaves a header without a value out, unless a semicolon says that it is meant; of these two, as on a kubelet, none
# at all is.
as_curl_writes() {
    case ${1,,} in
        'user-agent: ' | 'accept: ' | *': '?*) printf %s "$1" ;;
        *) printf '%s;' "${1%': '}" ;;
    esac
}

curl_option() {
    local value=${2//\\/\\\\}
    printf '%s = "%s"\n' "$1" "${value//\"/\\\"}"
}

# It takes no options from a pipe. Once it has answered it has read them, and what it still does may be killed with the probe.
wget_answer() {
    local header options=.runner/wget.$BASHPID
    for header; do
        is_for_here "$header" && printf 'header = %s\n' "$header"
    done >"$options"
    read -r status location < <(
        printf '%s\n' "$scheme://$host:$port$path" | clean wget --config="$options" --input-file=- --quiet \
            --no-check-certificate --max-redirect=0 --tries=1 --server-response --output-document=/dev/null 2>&1 | sed 's/^ *//' | answer_of
    )
    rm -f "$options"
}

grpc() {
    local command=(grpc_health_probe "-addr=127.0.0.1:$1" ${2:+"-service=$2"} -connect-timeout=60s -rpc-timeout=60s)
    if type -P grpc_health_probe >/dev/null; then
        clean "${command[@]}"
        return
    fi
    inside "${command[0]}" -version >/dev/null 2>&1
    if (($? == 126 || $? == 127)); then
        echo "a grpc probe needs grpc_health_probe, and neither the node nor the image has it"
        return "$cannot"
    fi
    inside "${command[@]}"
}
