"""Sidecars for container runtimes: each one of the site, and a stand-in for Enroot."""

import os
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.pods import Json
from tests.serving import Serving
from tests.sites import Site

EXAMPLES = Path(__file__).parents[1] / "examples"
STANDIN = Path(__file__).parent / "standins" / "enroot"
ENROOT = os.environ.get("TEST_ENROOT", "")

ENROOT_FOLDER = "/home/hpcuser/enroot"

Shared = Callable[[str], Serving]


def settings(site: Site, runtime: str, tmp_path: Path) -> Json:
    """Keys of the configuration; `apart` behind a runtime's name is SHARED_FS: false."""
    name, *apart = runtime.split()
    if name != "enroot":
        return {"ContainerRuntime": name, "SHARED_FS": not apart, "EnableExec": True}
    folder = ENROOT_FOLDER
    site.write(f"{folder}/bin/enroot", STANDIN.read_text(), "755")
    site.write(f"{folder}/etc/rc", 'exec echo "entry point:" "$@"\n')
    site.exec(
        f"tar -C /srv/images/busybox --owner=0 --group=0 -cf {folder}/busybox . && "
        f"tar -C {folder} --owner=0 --group=0 -rf {folder}/busybox ./etc/rc && "
        f"mkdir -p {folder}/registry && cp {folder}/busybox '{folder}/registry/r.example.org:5000#private+app:1'"
    )
    if ENROOT:
        site.exec(
            f"cd {folder} && ln -sf {ENROOT} bin/enroot && mkdir -p rootfs && "
            "tar -C rootfs -xf busybox && rm busybox && "
            "mksquashfs rootfs busybox -all-root -quiet -no-progress"
        )
    (login := tmp_path / "login.json").write_text(
        '{"auths": {"r.example.org:5000": {"username": "puller", "password": "t0p-secret"}}}'
    )
    example = yaml.safe_load((EXAMPLES / "config" / "enroot.yaml").read_text())
    return {
        "ContainerRuntime": example["ContainerRuntime"],
        "EnrootDefaultOptions": example["EnrootDefaultOptions"],
        "EnrootPath": f"{folder}/bin/enroot",
        "ImagePrefix": f"{folder}/",
        "ImagePullRetries": 0,
        "ImagePullSecrets": {"*": str(login)},
        "RuntimeEnvironment": {
            **example["RuntimeEnvironment"],
            "STANDIN_REGISTRY": f"{folder}/registry",
            "ENROOT_DATA_PATH": f"{folder}/data",
            "STANDIN_LOGIN": "login puller password t0p-secret",
        },
    }
