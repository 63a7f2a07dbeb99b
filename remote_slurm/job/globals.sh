# shellcheck shell=bash
# The variables that several functions of the runner use, and their meaning. A variable that only one part uses is declared at
# the top of that part. Any other lower-case name is local to a function, or set by a function for its caller.

# --- the job -------------------------------------------------------------------------------------------------------------

pod=''                        # name of the pod's folder: NAMESPACE-UID
job_id=''                     # of the job, as squeue shows it: 42, or 42_7 for a task of a job array
grace=''                      # seconds between the signal that ends a container and SIGKILL
began=''                      # when the job created the fence, in seconds since 1970
control=../.remote-slurm      # fences (claims), and the spool of records
local_root=''                 # the folder on the node with the pod's, if no file system is shared: see no_shared_fs.sh
log_limit=1073741824          # bytes of a container's log; job.sh sets what the configuration says
shm=/dev/shm                  # where folders in memory are made
process=/proc/self            # what the kernel shows of the process that reads it
runtime=''                    # apptainer, podman or enroot: the part of this name has its functions (runtime_hook)
pauses=(0.01 0.02 0.04 0.08 0.12)  # seconds between two checks of a process

failed=''                     # why no further container may start, in one sentence
failed_reason=''              # and its code: see `record`
worst=0                       # the highest exit code so far
names=()                      # containers that were started and may run
supervisors=()                # the process id of the supervisor of each of them
interrupted=''                # a trap has run: what `wait` returned may be of a signal
ticks=''                      # what write_ticks writes, while `await` waits
silence=''                    # a pipe that nothing is written to, for pauses without a process
leftovers=()                  # folders outside of the pod's that are removed when the job ends
background_pids=()            # processes that are killed when the job ends
exec_term=''                  # TERM of a client's command with a terminal
guarded=()                    # calls that check what containers mount, to be repeated before something is mounted again
guarding=yes                  # whether calls are added to these

# --- the records of one container ----------------------------------------------------------------------------------------

number=0                      # of its last record
restarts=0
last=''                       # how its last run ended: STARTED,FINISHED,EXIT_CODE,SIGNAL
last_message=''               # and the message of that end
recording=''                  # a record is being written
out_of_room=''                # a write has failed: the file system of the pod's folder is full
drop_times=''                 # the times of log lines are not written again behind the next record
records_usage=''              # the record of an end has what the job has used
usage=''                      # that: see measure_usage
pending_result=''             # a watcher has reported something meanwhile

# --- what job.sh says of the next container ------------------------------------------------------------------------------

# One value for each, so that nothing of one container applies to the next.
reset_container_settings() {
    missing=()                            # why it does without some volumes, one sentence each
    policy=Never                          # restart policy
    rules=()                              # restart rules: `In CODE...` or `NotIn CODE...`
    image=''                              # its key in the file `images`, if it is pulled
    unpack_call=()                        # makes of the image what the runtime starts
    no_image='' no_image_reason=''        # why it cannot start, and the code
    message_file='' message_policy=File   # termination message
    exec_mode='' exec_words=()            # how commands run inside: see exec_in_container.sh
    exec_allowed=''                       # clients may run commands inside: see exec.sh
    work_in_image=''                      # its workingDir, if that is in the image
    image_config=()                       # IMAGE own|image PROGRAM...: see image_config.sh
    program_from=''                       # the image that must name its program
    image_program=() has_odd=''           # that program; whether the image has variables that no shell can hold
    working_dir_mount=''                  # the mount that makes its workingDir
    post_start=() pre_stop=()             # actions of hooks
    stop_signal=''                        # the signal that ends it, without SIG
    startup_probe=() readiness_probe=() liveness_probe=()
}

reset_container_settings

# --- the supervisor of one container, a process of its own ---------------------------------------------------------------

name=''                       # of the container
supervisor=''                 # process id
run_prefix=''                 # prefix of the files of this run of the container: .runner/NAME.RESTARTS
child=''                      # process id of the container, and of its process group
is_running=''                 # it has been started, and has not ended
log_watcher=''                # process id of what notes the sizes of its log
log_writer=''                 # and of what writes it
log_input='' log_output=''    # the ends of the pipe between container and log writer
noted=''                      # the size of the log that was noted last
log_position=''               # where its writer was then
killer=''                     # process id of what sends SIGKILL at the end of the grace period
stopper=''                    # and of the preStop hook
puller=''                     # and of a pull; in the job's shell, of the first one
stopping=''                   # it is to end since the job ends
unhealthy=''                  # it is to end for this reason, which a watcher has reported
impossible=''                 # a probe of it can never be carried out: it is not started again
reported_state=''             # `ready`, or `not_ready SENTENCE`: what was recorded last
backoff=0                     # seconds before its next restart
process_started=0             # when its own command started, by $SECONDS
run_began='' run_ended=''     # of its last run, in seconds since 1970
code='' signal=0              # of its last end, or of what `await` has waited for
reason='' message=''          # for the record of that end
