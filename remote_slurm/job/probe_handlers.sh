# shellcheck shell=bash
# What probes and hooks do, beside `exec_in_container` and `sleep`. Each prints why it failed.
#
#   http_get http|https HOST PORT PATH [HEADER...]
#   tcp_socket HOST PORT
#   grpc PORT SERVICE

tcp_socket() {
    : 2>/dev/null <>"/dev/tcp/$1/$2" || { echo "no connection to $1 port $2"; return 1; }
}

# A status from 200 to 399 is a success, and certificates are not verified. As a kubelet does it (pkg/probe/http), redirects
# to the same host are followed, ten requests in all, and a redirect to another host is a success as it is.
http_get() {
    local scheme=$1 host=$2 port=$3 path=$4 first_host=$2 status location requests=0 names_host=''
    shift 4
    while ((requests++ < 10)); do
        send_request "$@" || return
        ((status >= 200 && status < 400)) || { echo "$(shown_url) answers with status $status"; return 1; }
        [[ $status == 30[12378] && -n $location ]] || return 0
        follow_location || { echo "$(shown_url) redirects to an invalid URL: ${location%%\?*}"; return 1; }
        [[ ${host,,} == "${first_host,,}" ]] ||
            { echo "the redirect to another host was not followed: ${location%%\?*}"; return 0; }
    done
    echo "stopped after 10 redirects, the last one to $(shown_url)"
    return 1
}

# Without the query, which may hold a token: this text becomes a message of the pod.
shown_url() {
    printf %s "$scheme://$host:$port${path%%\?*}"
}

# Sets scheme, host, port and path to the target of `location`, and `names_host` if it names a host.
follow_location() {
    local url=$location folder=${path%%\?*}
    case $url in
        //*) url=$scheme:$url names_host=yes ;;
        /*) url=$scheme://$host:$port$url ;;
        \?*) url=$scheme://$host:$port$folder$url ;;
        *://*) names_host=yes ;;
        *) url=$scheme://$host:$port${folder%/*}/$url ;;
    esac
    [[ ! $url =~ [[:cntrl:][:space:]] && $url =~ ^(https?|HTTPS?)://([A-Za-z0-9._-]+)(:([0-9]{1,5}))?([/?][^#]*)?(#.*)?$ ]] || return
    scheme=${BASH_REMATCH[1],,} host=${BASH_REMATCH[2]} port=${BASH_REMATCH[4]} path=${BASH_REMATCH[5]}
    [[ -n $port ]] || { port=80; [[ $scheme == http ]] || port=443; }
    [[ $path == /* ]] || path=/$path
}

# Sends the request with the HTTP client of the node. Sets `status`, and `location` if the answer redirects.
send_request() {  # HEADER...
    status='' location=''
    if type -P curl >/dev/null; then
        request_with_curl "$@"
    elif ! type -P wget >/dev/null; then
        echo "httpGet needs curl or wget, and node $(uname -n) has neither: ask the site to install curl"
        return "$cannot"
    elif [[ $(wget --help 2>&1 </dev/null) != *BusyBox* ]]; then
        request_with_wget "$@"
    elif (($#)) || [[ $path == *\?* ]]; then
        # they may be secrets, and it takes them from its arguments only
        echo "httpGet with httpHeaders or a query needs curl or GNU wget, and node $(uname -n) has only the wget of \
BusyBox, whose arguments all users of the node can read: ask the site to install curl"
        return "$cannot"
    else
        request_with_busybox
    fi
    [[ -n $status ]] && return
    echo "no answer from $(shown_url)"
    return 1
}

response_limit=16384  # bytes that are read of a response; a kubelet reads 10 KiB of its body

# Reads the head of a response from standard input; wget indents its lines. A response before the last one has a status 1xx.
read_response() {
    local line
    while IFS= read -r line; do
        line=${line%$'\r'}
        line=${line#"${line%%[! ]*}"}
        if [[ $line =~ ^HTTP/[0-9.]+\ ([1-9][0-9][0-9]) ]]; then
            status=${BASH_REMATCH[1]}
        elif [[ $status == 3?? && ${line,,} == location:* ]]; then
            line=${line#*:}
            location=${line#"${line%%[![:space:]]*}"}
            return
        elif [[ -z $line && -n $status && $status != 1?? ]]; then
            return
        fi
    done
}

# A program of the node gets neither variables nor, by --disable or HOME, settings of the account, which a container may
# have written: no proxy, no library, no option file.
clean() {
    (exec -c -- "$@")
}

# Headers may be secrets, and all users of the node can read arguments: curl reads its options from a pipe.
request_with_curl() {
    {
        read_response
        cat >/dev/null
    } < <(curl_options "$@" | clean curl --disable --config - 2>/dev/null | head -c "$response_limit")
}

curl_options() {
    local header
    printf '%s\n' silent insecure globoff include
    curl_option url "$scheme://$host:$port$path"
    curl_option user-agent kube-probe/remote-slurm
    curl_option header 'Connection: close'
    for header; do
        ! applies_here "$header" || curl_option header "$(header_for_curl "$header")"
    done
}

# The pod's own Host header applies until a redirect names a host.
applies_here() {
    [[ -z $names_host || ${1,,} != host:* ]]
}

# Curl omits a header without a value, unless it ends in a semicolon; these two are omitted by a kubelet, too.
header_for_curl() {
    case ${1,,} in
        'user-agent: ' | 'accept: ' | *': '?*) printf %s "$1" ;;
        *) printf '%s;' "${1%': '}" ;;
    esac
}

curl_option() {
    local value=${2//\\/\\\\}
    printf '%s = "%s"\n' "$1" "${value//\"/\\\"}"
}

# GNU wget does not read its options from a pipe. It would read .netrc and write .wget-hsts in the home folder.
request_with_wget() {
    local header options=.runner/wget.$BASHPID
    mkdir -p .runner
    for header; do
        ! applies_here "$header" || printf 'header = %s\n' "$header"
    done >"$options"
    read_response < <(
        printf '%s\n' "$scheme://$host:$port$path" | wget_to_stderr "$(type -P wget)" --config="$options" \
            --input-file=- --no-proxy --no-check-certificate --max-redirect=0 --tries=1 --no-http-keep-alive \
            --user-agent=kube-probe/remote-slurm
    )
    rm -f "$options"
}

# It follows redirects to any host, and what counts is its first response.
request_with_busybox() {
    read_response < <(
        wget_to_stderr "$(type -P wget)" --no-check-certificate -Y off -U kube-probe/remote-slurm \
            "$scheme://$host:$port$path" </dev/null
    )
}

# Both kinds of wget print the heads of responses to standard error, which becomes the output here.
wget_to_stderr() {
    { clean "$(type -P env)" HOME=/dev/null "$@" -q -S -O - 2>&3 | head -c "$response_limit" >/dev/null; } \
        3>&1 | head -c "$response_limit"
}

grpc() {
    local command=(grpc_health_probe "-addr=127.0.0.1:$1" ${2:+"-service=$2"} -connect-timeout=60s -rpc-timeout=60s)
    if type -P grpc_health_probe >/dev/null; then
        clean "${command[@]}"
        return
    fi
    exec_in_container "${command[0]}" -version >/dev/null 2>&1
    if (($? == 126 || $? == 127)); then
        echo "a grpc probe needs grpc_health_probe, and neither the node nor the image has it"
        return "$cannot"
    fi
    exec_in_container "${command[@]}"
}
