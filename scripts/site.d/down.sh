# shellcheck shell=bash
# down: ends the init, and with it every process and every mount of the site; then its folder.

site_down() {
    exec </dev/null
    [[ -d $(state_folder) ]] || { say "site $NAME is not running" && return; }
    lock_site
    remove_site
    say "site $NAME is down"
}

# The folder itself goes last, since it is the lock.
remove_site() {
    clear_site
    rmdir "$(state_folder)"
    rmdir "$RUN" 2>/dev/null || true
}

# Also for sites that are half up, or dead.
clear_site() {
    local state
    state=$(state_folder)
    end_init
    [[ $(fact ENFORCE_MEMORY) != true ]] || remove_cgroups "$NAME"
    rm -rf "${state:?}"/*
}

# The kernel ends every process of a PID namespace before the init is gone, and the mounts go with the last of them.
end_init() {
    local pid
    is_alive || return 0
    pid=$(fact pid)
    kill -KILL "$pid" 2>/dev/null || true
    while is_alive; do
        sleep 0.02
    done
}
