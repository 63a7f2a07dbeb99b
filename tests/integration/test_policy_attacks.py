"""Ways in which a pod that may only set data ran as the account, or read its files: each one got through once."""

import pytest

from tests.pods import Json, pod, request, sh
from tests.serving import Serve, Serving
from tests.sites import Site

pytestmark = pytest.mark.xdist_group("policy-attacks")  # they share one folder

SHARE = "/home/hpcuser/attacked"
OURS = "slurm-job.vk.io/"
DATA = ["flags", "mpi-flags", "singularity-mounts", "job-workdir", "image-root"]
IMAGES = ["/srv/images/busybox.sif", f"{SHARE}/images/*", "docker://registry.example.org/*"]


def attack(script: str = "true", image: str = "/srv/images/busybox.sif", flags: str = "", **annotations: str) -> Json:
    a_pod = pod(sh("c", script, image=image), flags=flags)
    a_pod["metadata"]["annotations"] |= {OURS + name.replace("_", "-"): text for name, text in annotations.items()}
    return a_pod


@pytest.fixture
def served(site: Site, serve: Serve) -> Serving:
    site.exec(f"rm -rf {SHARE}")
    site.write(f"{SHARE}/x.sh", f": >{SHARE}/ran-x\n", "755")
    site.write(f"{SHARE}/images/x", "")
    site.write("/home/hpcuser/private", "of the account\n", "600")
    policy = {"AllowedAnnotations": DATA, "AllowedImages": IMAGES}
    return serve(site, Policy=policy, AllowedHostPaths=[f"{SHARE}/data"], ImagePrefix="")


REFUSED = [
    attack(flags=f"--export=ALL,BASH_ENV={SHARE}/x.sh"),
    attack(flags='--export="ALL,BASH_FUNC_umask%%=() { id; }"'),
    attack(flags=f"--export=ALL,PATH={SHARE}/bin:/usr/bin:/bin"),
    attack(flags="--export=ALL,APPTAINER_BIND=/home/hpcuser:/mnt"),
    attack(flags=f"--export-file={SHARE}/x.sh"),
    attack(flags="--get-user-env"),
    attack(flags=f"--container={SHARE}"),
    attack(flags="-F /home/hpcuser/private"),
    attack(mpi_flags=f'-np 1 /bin/sh -c ": >{SHARE}/ran-mpi" :'),
    attack(singularity_mounts="/home/hpcuser:/mnt"),
    attack(singularity_mounts="--bind /home/hpcuser:/mnt /srv/images/busybox sh -c id"),
    attack(image="x", image_root=f"{SHARE}/data/"),
    attack(image="docker://registry.example.org/x@evil.example.com#a/b"),
    attack(pre_exec="id"),
    attack(singularity_options="--bind /home/hpcuser:/mnt"),
]


def test_what_was_an_attack_is_refused_at_once(served: Serving) -> None:
    for a_pod in REFUSED:
        served.vk.refused(request(a_pod))
    assert "ran-" not in served.site.exec(f"ls {SHARE}")


def test_links_at_the_site_lead_nowhere_else(served: Serving) -> None:
    """What a name says is checked at once, and where it leads on the node."""
    folder = f"/home/hpcuser/{served.root}"
    served.site.exec(
        f"mkdir -p {SHARE}/data && cd {SHARE} && ln -s /home/hpcuser data/home && ln -s {folder} jobs && "
        f"ln -s /srv/images/busybox images/other && cp /srv/images/busybox.sif images/own && chown -hR hpcuser: {SHARE}"
    )
    pods = {
        "mount": attack("cat /mnt/private", singularity_mounts=f"{SHARE}/data/home:/mnt"),
        "image": attack(image=f"{SHARE}/images/other"),
        "workdir": attack(job_workdir=f"{SHARE}/jobs/.remote-slurm"),
        "own": attack("ls /mnt", image=f"{SHARE}/images/own", singularity_mounts=f"{SHARE}/data:/mnt:ro"),
        "scratch": attack("echo fine", job_workdir=f"{SHARE}/data", flags="-t 3"),
    }
    linked = attack(job_workdir=f"{SHARE}/data")
    served.site.exec(f"ln -s {folder} {SHARE}/data/default-{linked['metadata']['uid']}")
    running = {name: served.vk.create(request(a_pod)) for name, a_pod in (pods | {"linked": linked}).items()}
    over = {name: each.until_over() for name, each in running.items()}
    assert {name: each.phase for name, each in over.items()} == {
        "mount": "Failed", "image": "Failed", "workdir": "Failed", "linked": "Failed", "own": "Succeeded",
        "scratch": "Succeeded",
    }  # fmt: skip
    assert "home" in over["own"].log("c")
    for name, words in {
        "mount": "AllowedHostPaths does not allow",
        "image": "AllowedImages does not allow",
        "workdir": "is a link, or is in DataRootFolder",
        "linked": "is a link, or is in DataRootFolder",
    }.items():
        assert words in over[name].terminated("c")["message"], name
