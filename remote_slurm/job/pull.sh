#!/bin/sh
# shellcheck disable=SC2154,SC2329 # the pod's file sets variables, and calls back
# Pulls the images of a pod into the site's cache, each image once for all pods. The file `images` in the pod's folder lists
# the images. It runs on compute nodes and on login nodes: plain POSIX shell.
#
#   pull.sh node POD [KEY]   pull all missing images, or one image, and wait. Exit code 0: each image is at POD/image/KEY
#   pull.sh ask POD          on a login node: start a background process that pulls missing images. Prints one line:
#                            `ready`, `pulling NAME`, `failing REASON WORDS` (it will be tried again) or
#                            `failed REASON WORDS`
#   pull.sh work CACHE       this background process: pull the images in the cache's queue one after another, then exit
#
# POD/image.failed has the last failure, POD/image.tries the number of failures; on a node, POD/image.failed.KEY has the last
# failure of one image. The first word is the kubelet's code, ErrImagePull or ErrImageNeverPull; the rest is only shown.
#
# In the cache, KEY is an image. A pull writes to a hidden name first. Meanwhile, it holds the lock .KEY.claim.N: a folder,
# since mkdir is exclusive on every file system, which the pull touches regularly. If it is not touched any more, another
# pull takes over by the lock N+1. Each pod has its own links to its images (.users/POD/KEY), so that an image can be
# replaced in the cache, or removed from it, at any time.

umask 077

case $0 in
    /*) program=$0 ;;
    *) program=$PWD/$0 ;;
esac
stale_seconds=120
beat_seconds=20

main() {
    case $1 in
        node) open_pod "$2" && node "${3-}" ;;
        ask) { open_pod "$2" && ask; } || say "failing $(cat "$pod/image.failed")" ;;
        work) open_cache "$2" && work ;;
    esac
}

# Print the text as one line. It may be a registry's message: `echo` of dash would expand a \n in it.
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

# Link the image for the pod, so that it stays when it leaves the cache. Some file systems have no hard links.
use() {  # KEY
    mkdir -p ".users/${pod##*/}" || return
    if [ ! -e "$pod/image" ]; then
        ln -sfn "$pod" ".users/${pod##*/}/.pod" && ln -sfn "$cache/.users/${pod##*/}" "$pod/image" || return
    fi
    touch "$1" 2>/dev/null  # fails if it belongs to another account
    ln -f "$1" ".users/${pod##*/}/$1" 2>/dev/null || ln -sf "../../$1" ".users/${pod##*/}/$1"
}

# --- locks -----------------------------------------------------------------------------------------------------------

# take_lock NAME: take the lock. Fails if another process holds it.
take_lock() {
    newest=$(newest_lock "$1")
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

newest_lock() {
    # names are letters, digits and a few signs: see domain/runtimes/images.py
    find . -maxdepth 1 -name ".$1.claim.*" | sed 's/.*\.claim\.//' | sort -n | tail -n 1
}

# Whether the lock has not been touched for too long. Both times are the file system's own.
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

# End a process and its descendants.
end_tree() {
    for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null || ps -o pid= --ppid "$1" 2>/dev/null); do
        (end_tree "$child")
    done
    kill "$1" 2>/dev/null
}

# --- pulling ---------------------------------------------------------------------------------------------------------

# pull KEY POLICY NAME WORDS...: while holding the lock; `@` in WORDS is replaced by the file to write
pull() {
    key=$1 name=$3
    shift 3
    part=$cache/.$key.part.$me
    log=$cache/.$key.log.$me
    trap 'end_pull; exit 143' TERM INT HUP
    if with_logins "$@" && [ -s "$part" ]; then
        # keep the old file, and its links, if the image has not changed
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

# As on a kubelet: try each login for the registry; if there is none, pull without one.
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

# The last messages of the runtime, without its progress messages.
words_of_log() {
    grep -v -e '^INFO:' -e '^Copying ' -e '^Getting ' -e '^Writing ' -e '^Trying to pull ' -e 'level=warning' -e '^$' "$log" |
        tail -n 3 | tr '\n\t' '  ' | cut -c 1-500
}

# For a runtime whose images are not files: the file only marks that the runtime has the image.
marked() {  # FILE WORDS...
    marker=$1
    shift
    "$@" && printf 'pulled\n' >"$marker"
}

# For podman, whose storage is local to a node: the cache has an archive, which each job unpacks.
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

# Use the credentials of `podman login`, which podman does not find with another storage.
show_logins() {
    own=${XDG_RUNTIME_DIR-}/containers/auth.json
    [ -n "${REGISTRY_AUTH_FILE-}" ] || [ ! -s "$own" ] || export REGISTRY_AUTH_FILE="$own"
}

saved() {
    "$@" pull --quiet "$source" >"$store/id" &&
        "$@" save --quiet --format oci-archive --output "$archive" "$(tail -n 1 "$store/id")" || return
    mv -f "$archive.manifest" ".$key.manifest" 2>/dev/null || :
}

# Compare the manifest in the registry, which is small, with that of the cached image. For an image of a single platform,
# podman (5.4) prints the manifest in an error message.
unchanged() {
    "$@" manifest inspect "${source#docker://}" >"$archive.manifest" 2>&1
    if ! grep -q 'sha256:' "$archive.manifest"; then
        rm -f "$archive.manifest"
        return 1
    fi
    [ -s "$key" ] && cmp -s "$archive.manifest" ".$key.manifest" && ln "$key" "$archive"
}

# --- on a node -------------------------------------------------------------------------------------------------------

# Pull all images, also if one of them fails: containers with other images can start.
node() {  # [KEY]
    rm -f "$pod/image.failed"
    [ -n "$1" ] || rm -f "$pod"/.stamp.*  # for a job that Slurm has requeued, Always means a new pull
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
        if take_lock "$1"; then
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

# With the policy Always, only an image counts whose pull, for any pod, ended after the pod's first request.
is_here() {  # KEY POLICY
    [ -e "$pod/.stamp.$1" ] || cat ".$1.stamp" >"$pod/.stamp.$1" 2>/dev/null
    [ -s "$1" ] && { [ "$2" != Always ] || { [ -s ".$1.stamp" ] && ! cmp -s ".$1.stamp" "$pod/.stamp.$1"; }; }
}

# --- on a login node -------------------------------------------------------------------------------------------------

ask() {
    said=
    image() { ask_for "$@"; }
    images
    [ -n "$said" ] || rm -rf "$pod/secret/pull"  # credentials are not needed after the last pull
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

# Whether the pull may be tried again: as on a kubelet after 10 s, 20 s, 40 s, ...
is_due() {
    [ "$(tries)" -le "$retries" ] &&
        [ $(($(date +%s) - $(stat -c %Y "$pod/image.failed"))) -ge $((5 << $(tries))) ] && rm -f "$pod/image.failed"
}

# Request a pull: a link to the pod that needs the image. The background process removes the link after the pull.
enqueue() {
    [ -e ".queue/$1/images" ] || ln -sfn "$pod" ".queue/$1"
    worker=$(newest_lock work)
    if [ -z "$worker" ] || is_stale ".work.claim.$worker"; then
        # a copy, since the file may be removed while it runs
        cp "$program" ".pull.sh.$me" && mv -f ".pull.sh.$me" .pull.sh
        detached nohup nice -n 19 sh "$cache/.pull.sh" work "$cache"
    fi
}

detached() {
    command -v setsid >/dev/null && set -- setsid "$@"
    "$@" </dev/null >/dev/null 2>&1 &
}

work() {
    take_lock work || return 0
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
    # not by the link: .. would be the queue
    open_pod "$(readlink ".queue/$wanted")" || return
    rm -f "$pod/image.failed"
    image() {
        [ "$1" = "$wanted" ] || return
        fetch "$@"
    }
    images
}

# --- removal from the cache ------------------------------------------------------------------------------------------

# After a pull, one process at a time removes images that have not been used for `days`, and then the oldest ones until the
# cache has at most `megabytes`. Running pods keep their images by their links.
tidy_cache() {
    take_lock tidy || return
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

# Remove the runtimes' own caches first: they only make the next pull faster.
drop_oldest() {
    if [ -n "$(find .runtime -type f | head -n 1)" ] && [ "$(find . -maxdepth 1 -name '.*.claim.*' | wc -l)" -le 2 ]; then
        rm -rf .runtime/*
        return
    fi
    # shellcheck disable=SC2012 # names are ours
    oldest=$(ls -tr | head -n 1)
    # keep the image that was just pulled
    [ -n "$oldest" ] && [ "$oldest" != "$key" ] && rm -f "./$oldest" ".$oldest.manifest"
}

main "$@"
exit
