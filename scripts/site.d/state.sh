# shellcheck shell=bash
# A site's folder below /run: its keys, its log, and the facts (KEY=VALUE, one per line) that all commands go by.

RUN=/run/remote-slurm
state_folder() { printf '%s\n' "$RUN/$NAME"; }

# One command at a time changes a site. The lock is on the folder itself, so that `down` can leave nothing behind; a
# folder that was removed while waiting for it is no lock.
lock_site() {
    local state
    state=$(state_folder)
    # Twice, since another `down` may remove the parent between its two steps.
    while mkdir -p "$state" || mkdir -p "$state"; do
        { exec {SITE_LOCK}<"$state"; } 2>/dev/null || continue
        flock -w 2 "$SITE_LOCK" || { say "waiting for another command on site $NAME" && flock "$SITE_LOCK"; }
        [[ $(stat -Lc %i "/dev/fd/$SITE_LOCK") != $(stat -c %i "$state" 2>/dev/null) ]] || return 0
        exec {SITE_LOCK}<&-
    done
    die "the folder $state cannot be made"
}

fact() { sed -n "s/^$1=//p" "$(state_folder)/facts" 2>/dev/null || true; }

add_facts() { printf '%s\n' "$@" >>"$(state_folder)/facts"; }

# A pid alone does not name a process: it is used again. Together with its start time it does.
is_alive() {
    local pid
    pid=$(fact pid)
    [[ $pid && $(start_time "$pid") = "$(fact start_time)" ]]
}

# Field 22 of /proc/PID/stat (proc(5)); the second field may hold spaces and parentheses.
start_time() {
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    read -ra fields <<<"${stat##*) }"
    printf '%s\n' "${fields[19]}"
}

# The document is written last: where it is and the init lives, the site is ready.
is_up() { [[ -e $(state_folder)/site.json ]] && is_alive; }

# Values are ours, or paths, so quotes and backslashes are all there is to escape.
json_string() {
    local value=${1//\\/\\\\}
    printf '"%s"' "${value//\"/\\\"}"
}
