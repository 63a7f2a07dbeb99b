# shellcheck shell=sh
#   >clock SECONDS       what the site's clock shows, with a fraction where date knows one

reply "clock $(date +%s.%N)"
