# shellcheck shell=sh
# shellcheck disable=SC2154 # first_lines is root.sh's, which stands in front of this text
# All that the site remembers of our pods, however many: for a sidecar that starts with an empty memory.
#   >pod NAME         a pod with a folder
#   >id NAME ID       its job
#   >again NAME       it was accepted, and Slurm had refused it for the time being
#   >attempt NAME     sbatch was called for it
#   >deleted NAME     it was deleted
#   >recovered        that was all

recover() {
    enter_root || return
    expire
    find . -mindepth 2 -maxdepth 2 -name job.sh -printf '>pod %h\n'
    find . -mindepth 2 -maxdepth 2 -name again -printf '>again %h\n'
    find .remote-slurm/claims -maxdepth 1 -type l -name '*.job' -printf '>id %f %l\n'
    find . -mindepth 2 -maxdepth 2 -name job.id -exec grep -H '' {} +
    find .remote-slurm/claims -maxdepth 1 -type d -name '*.attempt' -printf '>attempt %f\n'
    find .remote-slurm/claims -maxdepth 1 -name '*.deleted' -printf '>deleted %f\n'
    find . -mindepth 3 -maxdepth 3 -path './*/records/*' -type f ! -name '.*' -exec sh -c "$first_lines" sh {} +
    reply recovered
}

recover
