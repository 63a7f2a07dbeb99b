# shellcheck shell=bash
# Words of commands that are not in job.sh:
#
#   hidden_words FILE count=N   read them into the array `hidden`

# Slurm archives job.sh, so that the values of variables are in a file, each with a NUL at its end. bash 4.2 has no
# `mapfile -d`.
hidden_words() {
    local word
    hidden=()
    while IFS= read -r -d '' word; do
        hidden+=("$word")
    done 2>/dev/null <"$1"
    ((${#hidden[@]} == ${2#count=})) || fail NotStarted "$1 is missing or incomplete: secrets are removed when a job ends"
}
