"""What the sidecar decides and remembers. No HTTP, no SSH and no shell text: `api` asks it, and it asks a `Site`.

::

    accounts    maps each pod to an account, and merges the answers of all accounts
    pods        one account: creates and connects these components
      pod_creator         handles a create: stores the pod and starts its submission
      active_submissions  the submissions that run    submitter    submits one pod until it has a job id
      recovery            finds the pods in the folders at the site
      ownership           a newer or an older sidecar on the same folder (owner_watch: its timers)
      statuses            interLink's status          dashboard    the page, `top` and `status`
      poller              one squeue per interval; job_ends, job_copies, held_jobs and fetching use its result
      deletes             repeated until done         journal      deletes on disk
      logs                reads of logs               log_tail     the shared reader; followers: its limits
      orphans, retention, capacity, system_info, kubernetes
    background_tasks   runs the loops of these components
    pod_store   the state of each pod, in memory; `TrackedPod.summary` derives its summary
    check/      `check`: each step from the configuration to a container on a node; setup/: `init`
    audit, rendering, scale
"""
