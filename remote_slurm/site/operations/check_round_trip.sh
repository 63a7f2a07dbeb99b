# shellcheck shell=sh
#   >done      the script ran

reply "done"
