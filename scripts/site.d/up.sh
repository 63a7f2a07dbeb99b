# shellcheck shell=bash
# up: from options to a site that answers.

site_up() {
    exec </dev/null
    lock_site
    if is_up; then
        compare_options
    else
        clear_site
        trap give_up EXIT
        start_site
        trap - EXIT
    fi
    show_site
}

compare_options() {
    local option words
    for option in "${SITE_OPTIONS[@]}"; do
        words=${option,,} && words=${words//_/ }
        [[ $(fact "$option") = "${!option}" ]] ||
            die "site $NAME is running with $words $(fact "$option"), not ${!option}: take it down, or use another --name"
    done
    say "site $NAME is running already"
}

start_site() {
    local started=$SECONDS option
    check_user_namespaces
    [[ $ENFORCE_MEMORY = false ]] || need_cgroups
    need_commands
    for option in "${SITE_OPTIONS[@]}"; do
        add_facts "$option=${!option}"
    done
    use_trees
    make_keys
    pick_ports
    start_init
    ((RTT == 0)) || start_proxy
    wait_until_ready
    write_document
    say "site $NAME is up after $((SECONDS - started)) s"
}

# However `up` ends before the site is ready: nothing stays.
give_up() {
    trap - EXIT
    remove_site
    say "site $NAME was not started, and nothing of it is left"
}

make_keys() {
    local state
    state=$(state_folder)
    ssh-keygen -q -t ed25519 -N '' -C "site $NAME" -f "$state/id_ed25519"
    ssh-keygen -q -t ed25519 -N '' -C "host $NAME" -f "$state/ssh_host_ed25519_key"
}

# Sites that start at the same time must not pick the same ports, so it happens under one lock, and each one's choice
# counts as taken from then on.
pick_ports() {
    local ports state lock
    state=$(state_folder)
    exec {lock}<"$RUN"
    flock "$lock"
    read -ra ports < <(python3 "$PARTS/free-ports.py" 5 "$RUN"/*/facts)
    ((${#ports[@]} == 5)) || die 'there are no free ports on 127.0.0.1 between 20000 and 32000'
    add_facts "sshd_port=${ports[0]}" "slurmctld_port=${ports[1]}" "slurmd_port=${ports[2]}" \
        "slurmdbd_port=${ports[3]}" "proxy_port=${ports[4]}"
    exec {lock}<&-
    add_facts "port=${ports[RTT ? 4 : 0]}"
    write_known_hosts "$state" "${ports[0]}" "${ports[4]}"
}

write_known_hosts() {
    local state=$1 port type key _
    read -r type key _ <"$state/ssh_host_ed25519_key.pub"
    for port in "${@:2}"; do
        printf '[127.0.0.1]:%s %s %s\n' "$port" "$type" "$key"
    done >"$state/known_hosts"
}

# The lock of this command must end with it; those on the trees must not: unshare holds them as long as the site lives.
start_init() {
    local state
    state=$(state_folder)
    mkdir "$state/root"
    setsid unshare --mount --pid --uts --ipc --fork --kill-child --propagation private -- \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        bash "$PARTS/enter" "$state" "$NAME" "$PARTS/inside" "${TREES[@]}" \
        >"$state/log" 2>&1 </dev/null {SITE_LOCK}<&- &
    wait_for_pid "$!"
}

# enter writes the pid that its /proc, still the host's, shows of it: the site's init as the host sees it.
wait_for_pid() {
    local state
    state=$(state_folder)
    until [[ -s $state/pid ]]; do
        kill -0 "$1" 2>/dev/null || die 'the site could not enter its namespaces:' "$state/log"
        sleep 0.02
    done
    add_facts "pid=$(<"$state/pid")" "start_time=$(start_time "$(<"$state/pid")")"
}

# In the site's PID namespace, so that it ends with the site; otherwise on the host, whose Python it is.
start_proxy() {
    local state
    state=$(state_folder)
    setsid nsenter --pid --target "$(fact pid)" python3 "$PARTS/delay-proxy.py" \
        "$(fact proxy_port)" "$(fact sshd_port)" "$RTT" >"$state/proxy.log" 2>&1 </dev/null {SITE_LOCK}<&- &
}

# Ready is what a user would call ready: a login, and an idle node in the answer.
wait_until_ready() {
    local deadline=$((SECONDS + 60)) answer
    until answer=$(log_in hpcuser 'sinfo -h -o %T' 2>>"$(state_folder)/ready.log") && [[ $answer =~ ^idle ]]; do
        is_alive || die 'the site ended while it was starting:' "$(state_folder)/log"
        ((SECONDS < deadline)) || not_ready "${answer:-no answer}"
        sleep 0.1
    done
    add_facts "slurm_version=$(log_in hpcuser 'sinfo -V' | cut -d ' ' -f 2)"
}

not_ready() {
    local logs
    logs=$(state_folder)/logs
    { tail -n 5 "$(state_folder)"/*.log "/proc/$(fact pid)/root/var/log/slurm"/*.log || true; } >"$logs" 2>&1
    die "the site did not become ready within a minute (sinfo says: $1):" "$logs"
}

write_document() {
    local state
    state=$(state_folder)
    json_document >"$state/site.json.new"
    mv "$state/site.json.new" "$state/site.json"
}
