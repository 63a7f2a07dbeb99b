#!/bin/sh
# shellcheck disable=SC2154,SC2329 # the pod's file sets variables, and calls back
# Brings the images that a pod names into the cache of its site, each one once, however many pods ask for it. Travels in
# the pod's folder, beside the file `images` that says which, and runs on nodes and on login nodes: plain POSIX shell.
#
#   pull.sh node POD [KEY]   pull what is missing, now, of all images or of one; exit code 0: each is there as POD/image/KEY
#   pull.sh ask POD          the same question on a login node, where a process of its own pulls. Says one line:
#                            `ready`, `pulling NAME`, `failing REASON WORDS` (it will be tried again) or
#                            `failed REASON WORDS`
#   pull.sh work CACHE       that process: pulls what waits in the cache's queue, one image at a time, and ends
#
# What went wrong is in POD/image.failed, and how often it did in POD/image.tries; for one image on a node, in
# POD/image.failed.KEY. Its first word is the kubelet's code for it, ErrImagePull or ErrImageNeverPull; the rest is only
# shown.
#
# In the cache, KEY is an image. A pull writes under a hidden name first, and has a claim meanwhile: .KEY.claim.N, made by
# mkdir, which is exclusive on every file system, and touched while the pull lives. One that is not touched any more is
# taken over by the claim N+1. A pod has links of its own to the images that it uses (.users/POD/KEY), so that an image
# may be replaced, or leave the cache, at any time.

umask 077

stale_seconds=120
beat_seconds=20

main() {
    case $1 in
        node) open_pod "$2" && node "${3-}" ;;
        ask) { open_pod "$2" && ask; } || say "failing $(cat "$pod/image.failed")" ;;
        work) open_cache "$2" && work ;;
    esac
}

# One line, whatever a registry or the runtime has said: where /bin/sh is dash, echo would make lines of a \n in it.
say() {
    printf '%s' "$1" | tr '\n' ' '
    printf '\n'
}

# --- places ----------------------------------------------------------------------------------------------------------

# The pod's file sets cache, mode, retries, days and megabytes, and defines `images`.
open_pod() {
    cd "$1" || return
    pod=$PWD  # with its links: nodes may have others than the login node
    # shellcheck source=/dev/null
    . ./images
    open_cache "$cache"
}

open_cache() {
    if ! mkdir -p "$1/.queue" "$1/.users" "$1/.tmp" "$1/.runtime" 2>/dev/null || ! cd "$1"; then
        fail ErrImagePull "ImageCacheFolder $1 cannot be written on $(uname -n)"
        return 1
    fi
    cache=$PWD
    me=$(uname -n).$$
    # shellcheck source=/dev/null
    [ -z "${pod-}" ] || . "$pod/runtime.sh"
}

fail() {  # REASON SENTENCE
    [ -n "${pod-}" ] || return
    failure=image.failed${on_node:+".$key"}
    printf '%s %s\n' "$1" "$2" >"$pod/.$failure" && mv -f "$pod/.$failure" "$pod/$failure"
    printf '%s\n' "$(($(tries) + 1))" >"$pod/image.tries"
}

tries() {
    cat "$pod/image.tries" 2>/dev/null || echo 0
}

# The pod's own link keeps the image for it, whatever becomes of the cache. Some file systems have no hard links.
use() {  # KEY
    mkdir -p ".users/${pod##*/}" || return
    if [ ! -e "$pod/image" ]; then
        ln -sfn "$pod" ".users/${pod##*/}/.pod" && ln -sfn "$cache/.users/${pod##*/}" "$pod/image" || return
    fi
    touch "$1" 2>/dev/null  # it may be somebody else's
    ln -f "$1" ".users/${pod##*/}/$1" 2>/dev/null || ln -sf "../../$1" ".users/${pod##*/}/$1"
}

# --- claims ----------------------------------------------------------------------------------------------------------

# claim NAME: whether it is ours now
claim() {
    newest=$(newest_claim "$1")
    if [ -n "$newest" ] && ! is_stale ".$1.claim.$newest"; then
        return 1
    fi
    ours=.$1.claim.$((${newest:-0} + 1))
    mkdir "$ours" 2>/dev/null || return
    (
        while sleep "$beat_seconds" && kill -0 "$$" 2>/dev/null; do
            touch "$ours" 2>/dev/null || exit
        done
    ) </dev/null >/dev/null 2>&1 &
    beat=$!
}

newest_claim() {
    # names are letters, digits and a few signs: see domain/runtimes/images.py
    find . -maxdepth 1 -name ".$1.claim.*" | sed 's/.*\.claim\.//' | sort -n | tail -n 1
}

# Both times are the file system's own.
is_stale() {
    : >".now.$me"
    now=$(stat -c %Y ".now.$me")
    rm -f ".now.$me"
    touched=$(stat -c %Y "$1" 2>/dev/null) && [ $((now - touched)) -gt "$stale_seconds" ]
}

release() {  # NAME
    end_tree "$beat"
    rm -rf ".$1.claim".*
}

# A process with what it has started.
end_tree() {
    for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null || ps -o pid= --ppid "$1" 2>/dev/null); do
        (end_tree "$child")
    done
    kill "$1" 2>/dev/null
}

# --- pulling ---------------------------------------------------------------------------------------------------------

# pull KEY POLICY NAME WORDS...: under a claim; `@` in the words is the file to write
pull() {
    key=$1 name=$3
    shift 3
    part=$cache/.$key.part.$me
    log=$cache/.$key.log.$me
    trap 'end_pull; exit 143' TERM INT HUP
    if with_logins "$@" && [ -s "$part" ]; then
        # of an image that has not changed, the old file is as good
        if cmp -s "$part" "$key"; then touch "$key"; else mv -f "$part" "$key"; fi
        printf '%s %s\n' "$me" "$(date +%s)" >".$key.stamp"
        pulled=yes
    else
        pulled=
        fail ErrImagePull "image $name could not be pulled on $(uname -n): $(words_of_log)"
    fi
    end_pull
    trap - TERM INT HUP
    [ -n "$pulled" ] && tidy_cache
    [ -n "$pulled" ]
}

end_pull() {
    if [ -n "${puller-}" ]; then
        end_tree "$puller"
        wait "$puller"  # it may have to clear away
    fi
    rm -rf "$part" "$log" "$part".*
    release "$key"
}

# As on a kubelet: each login that fits the registry, and none where there is none.
with_logins() {
    found=
    for login in "$pod/secret/pull/$key".*.sh; do
        [ -e "$login" ] || continue
        found=yes
        run_pull "$login" "$@" && return
    done
    [ -z "$found" ] && run_pull "" "$@"
}

run_pull() {
    rm -rf "$part"
    (
        # shellcheck source=/dev/null
        [ -z "$1" ] || . "$1"
        shift
        for word; do
            shift
            [ "$word" = @ ] && word=$part
            set -- "$@" "$word"
        done
        case $1 in
            marked | archived) "$@" ;;
            *) exec "$@" ;;
        esac
    ) </dev/null >"$log" 2>&1 &
    puller=$!
    wait "$puller"
    code=$?
    puller=
    return "$code"
}

# What the runtime said at the end, without its progress.
words_of_log() {
    grep -v -e '^INFO:' -e '^Copying ' -e '^Getting ' -e '^Writing ' -e '^Trying to pull ' -e 'level=warning' -e '^$' "$log" |
        tail -n 3 | tr '\n\t' '  ' | cut -c 1-500
}

# A runtime whose images are no files: what is written only says that it has the image.
marked() {  # FILE WORDS...
    marker=$1
    shift
    "$@" && printf 'pulled\n' >"$marker"
}

# Podman's storage is for one node; what is kept is an archive, which it unpacks where it is used.
archived() {  # FILE NAME PODMAN...
    archive=$1 source=$2
    store=$temporary/.$key.part.$me.store
    shift 2
    trap 'remove_storage "$store" "$@"; exit 143' TERM
    mkdir -p "$store/run" || return
    show_logins
    open_storage "$store" "$store/run" "$@"
    unchanged "$@" || saved "$@"
    code=$?
    remove_storage "$store" "$@"
    return "$code"
}

# Those of `podman login` lie where a storage of its own does not look.
show_logins() {
    own=${XDG_RUNTIME_DIR-}/containers/auth.json
    [ -n "${REGISTRY_AUTH_FILE-}" ] || [ ! -s "$own" ] || export REGISTRY_AUTH_FILE="$own"
}

saved() {
    "$@" pull --quiet "$source" >"$store/id" &&
        "$@" save --quiet --format oci-archive --output "$archive" "$(tail -n 1 "$store/id")" || return
    mv -f "$archive.manifest" ".$key.manifest" 2>/dev/null || :
}

# The registry is asked for the manifest, which is small. Of an image for one platform, podman (5.4) tells it in an error.
unchanged() {
    "$@" manifest inspect "${source#docker://}" >"$archive.manifest" 2>&1
    if ! grep -q 'sha256:' "$archive.manifest"; then
        rm -f "$archive.manifest"
        return 1
    fi
    [ -s "$key" ] && cmp -s "$archive.manifest" ".$key.manifest" && ln "$key" "$archive"
}

# --- on a node -------------------------------------------------------------------------------------------------------

# What cannot be had keeps nobody else from theirs.
node() {  # [KEY]
    rm -f "$pod/image.failed"
    [ -n "$1" ] || rm -f "$pod"/.stamp.*  # a job that Slurm has requeued asks anew
    on_node=yes wanted=$1 missing=
    image() {
        [ "${wanted:-$1}" = "$1" ] || return 0
        key=$1
        rm -f "$pod/image.failed.$key"
        bring "$@" || missing=yes
    }
    images
    [ -z "$missing" ]
}

# bring KEY POLICY NAME WORDS...
bring() {
    [ "$mode" = login ] && [ -e "$pod/image/$1" ] && return
    if [ "$mode" = node ] && [ "$2" != Never ]; then
        fetch "$@" || return
    elif ! [ -s "$1" ]; then
        absent "$@"
        return 1
    fi
    use "$1"
}

absent() {
    if [ "$mode" = never ]; then
        fail ErrImageNeverPull "image $3 is not in the cache, and ImagePull is never: put it at $cache/$1"
    else
        fail ErrImageNeverPull "image $3 is not in the cache, and $([ "$mode" = login ] && echo "ImagePull is login" || echo "imagePullPolicy is $2")"
    fi
}

fetch() {
    until is_here "$1" "$2"; do
        if claim "$1"; then
            if is_here "$1" "$2"; then
                release "$1"
                return
            fi
            pull "$@"
            return
        fi
        sleep 1
    done
}

# Always means a pull that has ended since the pod first asked, be it another pod's.
is_here() {  # KEY POLICY
    [ -e "$pod/.stamp.$1" ] || cat ".$1.stamp" >"$pod/.stamp.$1" 2>/dev/null
    [ -s "$1" ] && { [ "$2" != Always ] || { [ -s ".$1.stamp" ] && ! cmp -s ".$1.stamp" "$pod/.stamp.$1"; }; }
}

# --- on a login node -------------------------------------------------------------------------------------------------

ask() {
    said=
    image() { ask_for "$@"; }
    images
    [ -n "$said" ] || rm -rf "$pod/secret/pull"  # which nobody needs any more
    say "${said:-ready}"
}

ask_for() {  # KEY POLICY NAME WORDS...
    [ -z "$said" ] || return
    [ -e "$pod/image/$1" ] && return
    if is_here "$1" "$([ "$mode" = never ] || echo "$2")"; then
        use "$1"
    elif [ "$mode" = never ] || [ "$2" = Never ]; then
        absent "$@"
        said="failed $(cat "$pod/image.failed")"
    elif [ -e "$pod/image.failed" ] && ! is_due; then
        said="$([ "$(tries)" -gt "$retries" ] && echo failed || echo failing) $(cat "$pod/image.failed")"
    else
        enqueue "$1" && said="pulling $3"
    fi
}

# The waits of a kubelet: 10 s, 20 s, 40 s, ...
is_due() {
    [ "$(tries)" -le "$retries" ] &&
        [ $(($(date +%s) - $(stat -c %Y "$pod/image.failed"))) -ge $((5 << $(tries))) ] && rm -f "$pod/image.failed"
}

# A request is a link to the pod that wants the image; it is over when the link is gone.
enqueue() {
    [ -e ".queue/$1/images" ] || ln -sfn "$pod" ".queue/$1"
    worker=$(newest_claim work)
    if [ -z "$worker" ] || is_stale ".work.claim.$worker"; then
        # the pod's own copy may be deleted while it runs
        cp "$pod/pull.sh" ".pull.sh.$me" && mv -f ".pull.sh.$me" .pull.sh
        detached nohup nice -n 19 sh "$cache/.pull.sh" work "$cache"
    fi
}

detached() {
    command -v setsid >/dev/null && set -- setsid "$@"
    "$@" </dev/null >/dev/null 2>&1 &
}

work() {
    claim work || return 0
    worker_claim=$ours worker_beat=$beat
    trap 'leave; exit 143' TERM INT HUP
    # shellcheck disable=SC2012 # names are ours
    while [ -e "$worker_claim" ] && key=$(ls -tr .queue | head -n 1) && [ -n "$key" ]; do
        (serve "$key")
        rm -f ".queue/$key"
    done
    leave
}

leave() {
    ours=$worker_claim beat=$worker_beat
    release work
}

serve() {  # KEY
    wanted=$1
    [ -e ".queue/$wanted/images" ] || return
    # .. of the link itself would be the queue
    open_pod "$(readlink ".queue/$wanted")" || return
    rm -f "$pod/image.failed"
    image() {
        [ "$1" = "$wanted" ] || return
        fetch "$@"
    }
    images
}

# --- what leaves the cache -------------------------------------------------------------------------------------------

# After a pull, by one process at a time: what nobody has used for `days`, and then the oldest, until what is left is no
# more than `megabytes`. Pods that run have their links, and keep what they use.
tidy_cache() {
    claim tidy || return
    find .users -mindepth 2 -maxdepth 2 -name .pod | while IFS= read -r link; do
        [ -e "$link/images" ] || rm -rf "${link%/.pod}"
    done
    find . .tmp -mindepth 1 -maxdepth 1 ! -path './.*.claim.*' ! -name .users ! -name .queue ! -name .tmp \
        ! -name .runtime \( -mtime "+$days" -o -name '.*.part.*' -mtime +1 \) -exec rm -rf {} +
    find .runtime -type f -mtime "+$days" -exec rm -f {} +
    while [ "$(size_of_cache)" -gt "$megabytes" ] && drop_oldest; do :; done
    release tidy
}

size_of_cache() {
    du -smc -- ./* .runtime | tail -n 1 | cut -f 1
}

# First what the runtimes keep for themselves: it only makes the next pull faster.
drop_oldest() {
    if [ -n "$(find .runtime -type f | head -n 1)" ] && [ "$(find . -maxdepth 1 -name '.*.claim.*' | wc -l)" -le 2 ]; then
        rm -rf .runtime/*
        return
    fi
    # shellcheck disable=SC2012 # names are ours
    oldest=$(ls -tr | head -n 1)
    # the one that was just pulled stays
    [ -n "$oldest" ] && [ "$oldest" != "$key" ] && rm -f "./$oldest" ".$oldest.manifest"
}

main "$@"
exit
