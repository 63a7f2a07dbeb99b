# shellcheck shell=sh
# shellcheck disable=SC2154 # sbatch, until_accepted and seconds are set in front of this text
# Asks Slurm whether it would accept some batch scripts, by `sbatch --test-only`: nothing is submitted. The payload has a
# script per line, in base64.
#   >message N TEXT      a line that sbatch printed for the script N, counted from 0
#   >tried N CODE       the exit code of sbatch
#   >end yes             all were tried, or `until_accepted` one was accepted, or `seconds` have passed

try_submit() {
    take_lines || return
    number=0
    now
    until=$((uptime + seconds))
    printf '%s' "$lines" | while IFS= read -r script; do
        now
        [ "$uptime" -le "$until" ] || break
        output=$(printf '%s' "$script" | base64 -d | timeout -k 5 30 "$sbatch" --test-only 2>&1)
        code=$?
        printf '%s\n' "$output" | sed "s/^/>message $number /"
        reply "tried $number $code"
        [ "$code" -ne 0 ] || [ -z "$until_accepted" ] || break
        number=$((number + 1))
    done
    reply "end yes"
}

try_submit
