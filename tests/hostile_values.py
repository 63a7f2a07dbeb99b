"""Values and names of variables that get lost, or run as something, wherever a shell is let near them."""

HOSTILE = {
    "PAYLOAD": 'it\'s "quoted" $HOME `id` \\ \n second line',
    "EMPTY": "",
    "BLANKS": "  leading and trailing  ",
    "NEWLINES": "\n\na\n\n",
    "EQUALS": "a=b=c",
    "DOLLARS": "$(touch /tmp/pwned) ${IFS} $$ $! $1 !!",
    "UTF8": "Zürich 日本 \N{PILE OF POO}",
    "QUOTES": "'\"'\"''\\''\"",
    "BACKSLASHES": "\\\\n\\t\\",
    "TAB": "a\tb\r",
    "HASH": "# no comment ; rm -rf / && true | cat > /dev/null",
    "GLOB": "* ? [a-z] ~ {a,b}",
    "PERCENT": "%s %n %% %j",
    "EOF": "EOF\nEOFMESH\n",
    "DASH": "-n -e",
}

# Names that no shell can hold, or that it gives a meaning of its own
ODD = {
    "discovery.type": "single-node",
    "a-b": 'it\'s "quoted"',
    "A B": " leading and trailing ",
    "1ST": "",
    "X;id": "$(id) `id` ; exit 1",
    "ünï": "line\nline\n",
    "HOME": "/work",
    "UID": "not a number",
    "IFS": ",",
    "PWD": "/nowhere",
    "OPTIND": "seven",
    "=$"[1:]: "a=b=c",
}
