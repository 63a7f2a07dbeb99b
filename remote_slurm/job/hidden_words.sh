# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # sourced after runner.sh, whose variables it uses
# Words of commands that are not in job.sh:
#
#   hidden_words FILE COUNT   read them into the array `hidden`

# Slurm archives job.sh, so that the values of variables are in a file, each with a NUL at its end. bash 4.2 has no
# `mapfile -d`.
hidden_words() {
    local word
    hidden=()
    while IFS= read -r -d '' word; do
        hidden+=("$word")
    done 2>/dev/null <"$1"
    ((${#hidden[@]} == $2)) || fail NotStarted "$1 is missing or incomplete: secrets are removed when a job ends"
}
