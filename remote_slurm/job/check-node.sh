# shellcheck shell=sh
# shellcheck disable=SC2154 # folder and runtime are set in front of this text
# What `remote-slurm check --job` runs in a job: what does the compute node have? Answers like the scripts of site/operations.

reply() {
    printf '>%s\n' "$*"
}

check_node() {
    reply "node $(uname -n)"
    if [ -d "$SLURM_SUBMIT_DIR/records" ] && : >"$SLURM_SUBMIT_DIR/.check" && rm "$SLURM_SUBMIT_DIR/.check"; then
        reply "folder yes"
    fi
    if [ -n "$runtime" ]; then
        if path=$(command -v "$runtime"); then
            reply "runtime $path $("$runtime" --version 2>&1 </dev/null | head -n 1)"
        else
            reply "noruntime $PATH"
        fi
    fi
    if unshare --user --map-root-user true 2>/dev/null; then
        reply "userns yes"
    else
        reply "userns no $(unshare --user --map-root-user true 2>&1)"
    fi
    reply "httpclient $(command -v curl || command -v wget)"
    reply "clock $(date +%s)"
    reply "checked"
}

check_node
