"""What container runtimes keep for themselves lies where pods lie, and not in a small home folder."""

from collections.abc import Iterator

import pytest

from tests.pods import pod, request, sh
from tests.registry import Registry
from tests.serving import Serve, wait_until
from tests.sites import Site
from tests.vk import Watched

pytestmark = pytest.mark.xdist_group("accounts")  # made one after another


@pytest.fixture
def registry(site: Site) -> Iterator[Registry]:
    registry = Registry(site.archive("/srv/images/busybox"))
    yield registry
    registry.stop()


@pytest.fixture
def account(site: Site, registry: Registry) -> Iterator[str]:
    """One that no other test has, and as at many sites without ids of its own for the users in images (subuid)."""
    name = f"guest{registry.port}"
    conf = f'[[registry]]\\nlocation = "{registry.host}"\\ninsecure = true\\n'
    site.exec(
        f"useradd -m -p '*' -K SUB_UID_COUNT=0 -K SUB_GID_COUNT=0 {name} && "
        f"install -D .ssh/authorized_keys /home/{name}/.ssh/authorized_keys && chown -R {name}: /home/{name} && "
        f"mkdir -p /scratch/{name} && printf '{conf}' >/scratch/{name}/registries.conf && "
        f"chown -R {name}: /scratch/{name}"
    )
    yield name
    site.exec(f"pkill -KILL -u {name}; userdel -f -r {name} 2>/dev/null; rm -rf /scratch/{name}")


@pytest.mark.parametrize(("runtime", "place"), [("singularity", "node"), ("podman", "node"), ("podman", "login")])
def test_a_pull_and_a_run_leave_nothing_in_the_home_folder_nor_a_process(
    site: Site, serve: Serve, registry: Registry, account: str, runtime: str, place: str
) -> None:
    keys = {
        "SSH": {"User": account},
        "DataRootFolder": f"/scratch/{account}/pods",
        "ContainerRuntime": runtime,
        "ImagePull": place,
        "ImagePullRetries": 0,
        "RuntimeEnvironment": {
            "APPTAINER_NOHTTPS": "1",
            "CONTAINERS_REGISTRIES_CONF": f"/scratch/{account}/registries.conf",
        },
    }
    served = serve(site, **keys)
    before = site.exec(f"find /home/{account} -type f")
    look = "cat /mark /app/data; touch /app/mine"
    a_pod = pod(sh("c", look, image=registry.push("home/app:1", mark="the image, "), imagePullPolicy="IfNotPresent"))
    assert served.client.create(request(a_pod)).status == 200
    ran = Watched(served.client, a_pod).until_over()
    assert ran.log("c").endswith("the image, of the app")
    assert ran.phase == "Succeeded"
    assert site.exec(f"find /home/{account} -type f") == before
    processes = f"pgrep -u {account} -x 'podman|catatonit|conmon|apptainer|starter' || true"
    wait_until(lambda: site.exec(processes) == "", "nothing of the runtime runs any more")
    leftovers = f"find {served.root} -name '*.part.*' -o -name .podman 2>/dev/null || true"  # some go meanwhile
    wait_until(lambda: site.exec(leftovers) == "", "no storage of its is left")
