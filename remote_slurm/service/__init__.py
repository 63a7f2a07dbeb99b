"""What the sidecar decides and remembers. No HTTP, no SSH and no shell text: `api` asks it, and it asks a `Site`.

::

    accounts    which account a pod belongs to; the answers of all accounts merged
    pods        one account: makes and connects the parts below
      creates       a create becomes a stored pod and a submission
      submissions   submissions under way      submission   one pod's way to a job id
      recovery      pods that the folders at the site show
      ownership     a newer or an older sidecar on the same folder (owner_watch: its timers)
      statuses      interLink's status         dashboard    the page, `top` and `status`
      poller        one squeue per interval    job_ends, job_copies, held_jobs, fetching: what follows from it
      deletes       carried out until done     journal      deletes on disk
      logs          reads of logs              log_tail     the shared reader; followers: its limits
      orphans, retention, capacity, system_info, kubernetes
      background_tasks   runs the loops of all of these
    pod_store   what is known of each pod, in memory; `TrackedPod.summary` derives its state
    check       the chain from the configuration to the site: check_connection, check_job, findings
    audit, rendering, scale
"""
