# shellcheck shell=bash
# Variables whose names no shell can hold:
#
#   needs_carrier                       the next container has one: fail it if the node has neither perl nor python3
#   with_env FILE kept=PATTERN at=N WORD...   run WORD... with the variables of FILE

# A shell cannot set a variable whose name is not a shell's, and the words of `env` can be seen by all users of the node. So
# the carrier, a program of the node, reads them from FILE. If PATTERN is not empty, only the variables of the node whose names
# begin like that regular expression stay.
# shellcheck disable=SC2016 # perl's variables
carry_in_perl='
    my ($kept, $file) = splice @ARGV, 0, 2;
    if ($kept ne "") { /^(?:$kept)/ or delete $ENV{$_} for keys %ENV }
    open my $entries, "<", $file or die "$file: $!\n";
    local $/ = "\0";
    while (<$entries>) { chomp; my ($name, $value) = split /=/, $_, 2; $ENV{$name} = $value }
    close $entries;
    exec { $ARGV[0] } @ARGV or do { print STDERR "$ARGV[0]: $!\n"; exit 127 }'
carry_in_python='
import os, re, sys
kept, path = sys.argv[1:3]
for name in list(os.environb):
    if kept and not re.match(kept.encode(), name):
        del os.environb[name]
for entry in open(path, "rb").read().split(b"\0")[:-1]:
    name, _, value = entry.partition(b"=")
    os.environb[name] = value
os.execvp(sys.argv[3], sys.argv[3:])'

# Sets `carrier`, and fails if the node has none.
find_carrier() {
    local program
    if program=$(type -P perl); then
        carrier=("$program" -e "$carry_in_perl" --)
    elif program=$(type -P python3); then
        carrier=("$program" -I -c "$carry_in_python")
    else
        return 1
    fi
}

# For the next container.
needs_carrier() {
    find_carrier || no_image_reason=NotStarted no_image="an environment variable has a name that no shell can hold, and node $(hostname) has neither \
perl nor python3 to set it: give it another name"
}

# with_env FILE kept=PATTERN at=N WORD...: runs the words with the NAME=VALUE entries of the file in the environment of what comes
# behind the first N words. Variables that only have several lines need no carrier.
# shellcheck disable=SC2094 # nothing writes the file
with_env() {
    local _rs_entry _rs_file=$PWD/$1 _rs_kept=${2#kept=} _rs_count=${3#at=} carrier=()
    shift 3
    while IFS= read -r -d '' _rs_entry; do
        [[ $_rs_entry =~ ^[A-Za-z_][A-Za-z0-9_]*= ]] && export "${_rs_entry?}" 2>/dev/null && continue
        find_carrier || exit 125
        set -- "${@:1:_rs_count}" "${carrier[@]}" "$_rs_kept" "$_rs_file" "${@:_rs_count+1}"
        break
    done <"$_rs_file"
    become "$@"
}
