# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # stands beside runner.sh, whose variables it uses
# Where login and compute nodes share no file system (SHARED_FS: false): the pod's folder lies on the node, and what the
# login node should know stands in the job's comment, which one squeue reads for all jobs. job.sh says
#
#   apart SCONTROL SQUEUE SECONDS COMMENT    the pod's own COMMENT is kept behind ours; an ended job waits for so many
#                                            SECONDS until its logs were fetched
#
# The comment is `at=FOLDER;RECORD;RECORD;|COMMENT`, each record as records/ has it but for its first two words, and
# `over;` once all containers have ended and the logs can be fetched: domain/apart.py reads it.

comment_limit=1000     # characters; Slurm takes 1024
stopped_patience=15    # seconds that an ended job waits for who fetches its logs, once it was told to stop

apart() {
    apart=${PWD%/*}
    scontrol=$1
    squeue=$2
    patience=$3
    comment=$4
    # inside mesh.sh, another shell removes it
    [[ $$ == "${REMOTE_SLURM_SHELL-}" ]] && leftovers+=("$apart")
    report_changes &
    reporter=$!
    disown "$reporter"
    watchers+=("$reporter")
    remove_older &
}

# What killed jobs have left: of this account's own folders, those whose job is not one of its active ones.
remove_older() {
    local folder folders=() id active
    for folder in "${apart%/*}"/remote-slurm-[0-9]*-??????; do
        [[ -d $folder && -O $folder && ! -L $folder && $folder != "$apart" ]] && folders+=("$folder")
    done
    ((${#folders[@]})) && active=$(timeout -k 5 60 "$squeue" --me --noheader --format=%A </dev/null 2>/dev/null) || return
    for folder in "${folders[@]}"; do
        id=${folder##*/remote-slurm-}
        [[ $'\n'$active$'\n' == *$'\n'"${id%%-*}"$'\n'* ]] || rm -rf -- "$folder"
    done
}

# --- the comment -----------------------------------------------------------------------------------------------------

# One at a time, so that what is older never comes last; not more often than once a second, nor when nothing has changed.
report_changes() {
    local told='' pause=1 sleeper=''
    trap 'kill $sleeper 2>/dev/null; exit' TERM
    while :; do
        standing
        if [[ $text == "$told" ]]; then
            pause=1
        elif tell_slurm "$text"; then
            told=$text pause=1
        else
            pause=$((pause < 30 ? pause * 2 : 30))
        fi
        [[ $told == *';over;|'* ]] && return
        sleep "$pause" &
        sleeper=$!
        wait "$sleeper"
    done
}

tell_slurm() {
    timeout -k 5 60 "$scontrol" update "JobId=$SLURM_JOB_ID" "Comment=$1" </dev/null >/dev/null 2>&1
}

# Sets `text`: where that is too long, without the ends of messages and of the pod's own comment, and at last without all
# that a record can do without.
standing() {
    local most record over=''
    [[ -e .over ]] && over='over;'
    for most in 400 200 110 0; do
        text="at=$apart;"
        for record in records/*; do
            [[ -e $record ]] && add_record "$record" "$most"
        done
        text+="$over|${comment:0:most}"
        ((${#text} <= comment_limit)) && return
    done
    text="at=$apart;$over|"
}

add_record() {
    local line=''
    IFS= read -r line <"$1" || return
    line=${line#v1 * }
    if [[ $line =~ ^[^\ ]+\ [a-z]+(\ [a-z]*=?[0-9]+)+ ]] && ((${#BASH_REMATCH[0]} > $2)); then
        line=${BASH_REMATCH[0]}
    else
        line=${line:0:$2}
    fi
    line=${line//'%'/%25}
    line=${line//';'/%3B}
    line=${line//'|'/%7C}
    line=${line//$'\t'/%09}
    text+="$line;"
}

# --- the logs --------------------------------------------------------------------------------------------------------

# Who fetches the logs comes as a step of this job, so that it has to last until then. It says when it begins, since
# logs may be long, and when it has them.
hand_over() {
    local until waits stopped_before=''
    [[ -e .stopping ]] && stopped_before=yes
    : >.over
    # the last word counts most: without it, only Slurm's own exit code tells how the pod ended
    until=$((SECONDS + 60))
    while ((SECONDS < until)) && kill -0 "$reporter" 2>/dev/null; do
        sleep 0.2
    done
    waits=$patience
    [[ -n $stopped_before ]] && ((waits > stopped_patience)) && waits=$stopped_patience
    until=$((SECONDS + waits))
    until [[ -e $apart/fetched ]] || { ((SECONDS >= until)) && [[ ! -e $apart/fetching ]]; }; do
        [[ -z $stopped_before && -e .stopping ]] && return
        sleep 0.3
    done
}
