# shellcheck shell=bash
# status, ssh, exec: what is used while a site is up.

site_status() {
    is_up || { not_up && exit 3; }
    show_site
}

not_up() {
    local state
    state=$(why_not_up)
    if [[ $OUTPUT = json ]]; then
        printf '{"name": "%s", "state": "%s"}\n' "$NAME" "$state"
    else
        say "site $NAME is not up: $state"
    fi
}

# Whoever starts it holds the lock on its folder until it is up.
why_not_up() {
    if [[ ! -d $(state_folder) ]]; then
        echo absent
    elif flock -n "$(state_folder)" true; then
        echo dead
    else
        echo starting
    fi
}

show_site() {
    if [[ $OUTPUT = json ]]; then
        cat "$(state_folder)/site.json"
    else
        printf 'site %s: Slurm %s on %s, container runtime %s\n' "$NAME" "$(fact slurm_version)" "$(fact SUITE)" "$(runtime)"
        printf '  ssh   scripts/site ssh --name %s   (hpcuser@127.0.0.1 port %s)\n' "$NAME" "$(fact port)"
        printf '  key   %s/id_ed25519\n' "$(state_folder)"
        printf '  host  %s/known_hosts   (fingerprint %s)\n' "$(state_folder)" "$(host_fingerprint)"
        printf '  end   scripts/site down --name %s\n' "$NAME"
    fi
}

host_fingerprint() { ssh-keygen -lf "$(state_folder)/ssh_host_ed25519_key.pub" | cut -d ' ' -f 2; }

runtime() { [[ $(fact SUITE) = bookworm ]] && echo none || echo apptainer; }

json_document() {
    local state
    state=$(state_folder)
    cat <<END
{
  "name": "$NAME",
  "state": "up",
  "suite": "$SUITE",
  "slurm_version": "$(fact slurm_version)",
  "runtime": "$(runtime)",
  "host": "127.0.0.1",
  "port": $(fact port),
  "sshd_port": $(fact sshd_port),
  "user": "hpcuser",
  "users": ["hpcuser", "alice", "bob"],
  "identity_file": $(json_string "$state/id_ed25519"),
  "known_hosts_file": $(json_string "$state/known_hosts"),
  "images": {"directory": "/srv/images/busybox", "sif": $(sif_image)},
  "partitions": $(partitions),
  "rtt_ms": $RTT,
  "sbatch_latency_ms": $SBATCH_LATENCY,
  "accounting": $ACCOUNTING,
  "min_job_age_s": $MIN_JOB_AGE,
  "enforce_memory": $ENFORCE_MEMORY,
  "preemption": $PREEMPTION,
  "no_shared_fs": $NO_SHARED_FS,
  "pid": $(fact pid),
  "state_folder": $(json_string "$state")
}
END
}

partitions() { [[ $PREEMPTION = true ]] && echo '["main", "short", "urgent", "graceful"]' || echo '["main", "short"]'; }

sif_image() { [[ $(runtime) = none ]] && echo null || echo '"/srv/images/busybox.sif"'; }

site_ssh() {
    is_up || { not_up && exit 3; }
    log_in "$LOGIN" "${COMMAND[@]}"
}

# Nothing of the caller's own ssh configuration, agent or known hosts takes part.
log_in() {
    local state user=$1
    state=$(state_folder)
    shift
    ssh -F none -i "$state/id_ed25519" -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes \
        -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=none -o UserKnownHostsFile="$state/known_hosts" \
        -o ConnectTimeout=10 -p "$(fact port)" "$user@127.0.0.1" -- "$@"
}

site_exec() {
    is_up || { not_up && exit 3; }
    exec nsenter --mount --pid --uts --ipc --root --wd --target "$(fact pid)" -- \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        ${TERM:+"TERM=$TERM"} "${COMMAND[@]}"
}
