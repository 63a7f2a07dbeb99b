# shellcheck shell=sh
#   >clock SECONDS       the site's clock, with a fraction if `date` supports it

reply "clock $(date +%s.%N)"
