# shellcheck shell=sh
# shellcheck disable=SC2154 # scontrol is set in front of this text
# Prints what Slurm shows of its partitions and its configuration.
#   >partition TEXT      a partition on one line
#   >setting TEXT        a line of `scontrol show config`
#   >settings CODE CODE  the exit codes of both; the messages of a failed one come first

slurm_settings() {
    partitions=$(timeout -k 5 30 "$scontrol" --oneliner show partition 2>&1 </dev/null)
    code=$?
    if [ "$code" -eq 0 ]; then
        printf '%s\n' "$partitions" | grep PartitionName= | head -n 2000 | sed 's/^/>partition /'
    else
        printf '%s\n' "$partitions"
    fi
    settings=$(timeout -k 5 30 "$scontrol" show config 2>&1 </dev/null)
    other=$?
    if [ "$other" -eq 0 ]; then
        printf '%s\n' "$settings" | grep -E \
            '^(DefMemPer|MaxMemPer|SelectType|JobAcctGatherParam|ConstrainRAMSpace|MaxArraySize|PrivateData|AccountingStorage)' |
            sed 's/^/>setting /'
    else
        printf '%s\n' "$settings"
    fi
    reply "settings $code $other"
}

slurm_settings
