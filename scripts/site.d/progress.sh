# shellcheck shell=bash
# What the person who waits gets to see: one line on stderr for whatever takes longer than two seconds.

say() { printf 'site: %s\n' "$*" >&2; }

# The one sentence, and below it the end of the log that explains it.
die() {
    say "$1"
    [[ -z ${2-} || ! -s $2 ]] || tail -n 15 "$2" | sed 's/^/    | /' >&2
    exit 1
}

# step LOG WHAT COMMAND...: runs COMMAND with its output appended to LOG, and shows WHAT while it takes long.
step() {
    local log=$1 what=$2 ticker status=0 start=$SECONDS
    shift 2
    tick "$what" </dev/null &
    ticker=$!
    "$@" >>"$log" 2>&1 </dev/null || status=$?
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    ((status)) || ((SECONDS - start < 3)) || report "$what: $((SECONDS - start)) s"$'\n'
    return "$status"
}

# Waits with `read`, since a `sleep` of its own would outlive it; and ends when the command was killed.
tick() {
    local start=$SECONDS elapsed every=1 line_end=''
    close_inherited_files
    [[ -t 2 ]] || { every=10 && line_end=$'\n'; }
    exec {timer}<> <(:)
    while read -rt 1 -u "$timer" || kill -0 "$$" 2>/dev/null; do
        elapsed=$((SECONDS - start))
        ((elapsed < 2 || (elapsed - 2) % every)) || report "$1 ... $elapsed s$line_end"
    done
}

# On a terminal one line that counts, elsewhere one line each.
report() { if [[ -t 2 ]]; then printf '\r\e[Ksite: %s' "$1" >&2; else printf 'site: %s' "$1" >&2; fi; }
