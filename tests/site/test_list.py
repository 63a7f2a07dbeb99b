"""list.sh: the facts in folders of pods that this sidecar has not submitted."""

import shutil
from pathlib import Path

import pytest

from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.plan.payload import together
from remote_slurm.domain.plan.script import payload
from remote_slurm.domain.pod.model import CreateRequest
from remote_slurm.job import SCRIPTS
from tests.pods import pod, request, sh
from tests.site.account import Account

LABELS = {"app.kubernetes.io/name": "train", "empty": "", "strange": "a \\ b\nc"}


def submitted(account: Account, annotations: dict[str, str], script: str = "true", **spec: object) -> Path:
    """The folder of a pod."""
    body = pod(sh("main", script), sh("side", script), initContainers=[sh("first", script)], name="p")
    body["spec"] |= spec
    body["metadata"]["annotations"] |= annotations
    body["metadata"]["labels"] = LABELS
    asked = CreateRequest.parse(request(body))
    files = payload(plan_job(asked, account.config), SCRIPTS)
    account.submit(asked.pod.key, together([files]))
    return account.root / asked.pod.key


@pytest.mark.parametrize("annotations", [{}, {"slurm-job.vk.io/pre-exec": "export A=1"}])
async def test_containers_are_listed_after_shell_of_the_pods_own(account: Account, annotations: dict[str, str]) -> None:
    submitted(account, annotations)
    (listed,) = await account.site.list_pods()
    assert (listed.name, listed.init_containers, listed.containers) == ("default/p", ("first",), ("main", "side"))
    assert (listed.job_id, listed.labels) == ("101", LABELS)


async def test_labels_and_spec_are_found_behind_many_options(each_account: Account) -> None:
    options = "--time=5 --partition=p --account=a --qos=q --nice=1 --constraint=c --begin=now --comment=c --exclusive"
    folder = submitted(each_account, {"slurm-job.vk.io/flags": options})
    (listed,) = await each_account.site.list_pods()
    described = await each_account.site.describe(folder.name)
    assert listed.labels == LABELS
    assert described
    assert described.spec["annotations"] == {"slurm-job.vk.io/flags": options}


LOOKS_LIKE_CALLS = """\
echo "it's
pod default-p grace=1
resume default-p grace=1
container other \\
init_container "other" \\
container other \\
\""
container other \\
"""


@pytest.mark.parametrize("annotations", [{}, {"slurm-job.vk.io/pre-exec": "export A=1"}])
async def test_words_of_a_pod_are_no_calls(each_account: Account, annotations: dict[str, str]) -> None:
    submitted(each_account, annotations, LOOKS_LIKE_CALLS, terminationGracePeriodSeconds=3600)
    (listed,) = await each_account.site.list_pods()
    assert (listed.name, listed.init_containers, listed.containers) == ("default/p", ("first",), ("main", "side"))
    assert listed.grace_seconds == 3600


async def test_what_is_half_written_is_not_listed(account: Account) -> None:
    folder = submitted(account, {})
    (folder / "job.id").write_text("10")
    (folder / "records").mkdir()
    for name in (".side.77", "main"):
        (folder / "records" / name).write_text(f"v1 {folder.name} {name.strip('.')} running 1 0 0 0\n")
    (listed,) = await account.site.list_pods()
    assert listed.job_id == ""
    assert [record.container for record in listed.records] == ["main"]


async def test_a_pod_that_is_removed_during_a_recovery_or_a_list_is_left_out(account: Account) -> None:
    """GNU stat fails for a file that is gone, and its -f prints the status of file systems."""
    folder = submitted(account, {})
    claims = account.root / ".remote-slurm/claims"
    gone = account.root / "ns-gone"
    account.command("stat", f'rm -rf {claims}/ns-gone.attempt {gone}\nexec /usr/bin/stat "$@"\n')
    for name in (folder.name, "ns-gone"):
        (claims / f"{name}.attempt").touch()
    assert (await account.owner().recover()).attempted.keys() == {folder.name}
    gone.mkdir()
    (gone / "job.id").write_text("102\n")
    (listed,) = await account.site.list_pods()
    assert (listed.pod, listed.age is not None) == (folder.name, True)


async def test_a_job_that_has_begun_is_known_by_its_fence(account: Account) -> None:
    """It has removed the file with its id."""
    folder = submitted(account, {})
    (folder / "job.id").unlink()
    (account.claims / f"{folder.name}.job").symlink_to("101")
    (account.claims / "ns-abandoned.job").symlink_to("void")
    (listed,) = await account.site.list_pods()
    assert (listed.job_id, listed.age is not None) == ("101", True)
    found = await account.site.describe(folder.name)
    assert found
    assert found.submitted
    assert (await account.owner().recover()).job_ids == {folder.name: "101"}


@pytest.mark.parametrize("annotations", [{}, {"slurm-job.vk.io/pre-exec": "export A=1"}])
async def test_a_folder_is_described_with_its_spec_and_output_files(
    account: Account, annotations: dict[str, str]
) -> None:
    folder = submitted(account, annotations)
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs/main").write_text("x" * 1234)
    found = await account.site.describe(folder.name)
    assert found
    assert found.path == str(folder)
    assert [each["name"] for each in found.spec["containers"]] == ["main", "side"]
    assert ("logs/main", 1234) in found.files
    assert found.submitted
    assert await account.site.describe("ns-nobody") is None


@pytest.mark.parametrize("parallel", [True, False])
async def test_many_pods_are_read_at_once_and_each_of_their_lines_is_whole(account: Account, *, parallel: bool) -> None:
    """A pipe tears long lines of several processes. Not every xargs starts several."""
    if not parallel:
        account.command("xargs", f'case " $* " in *" -P"*) exit 64 ;; esac\nexec {shutil.which("xargs")} "$@"\n')
    await account.owner().recover()
    pods = {f"ns-{number}": "word " * (number % 7 * 400) + str(number) for number in range(160)}
    for number, (name, message) in enumerate(pods.items()):
        folder = account.root / name
        (folder / "records").mkdir(parents=True)
        for container in ("one", "two"):
            (folder / "records" / container).write_text(f"v1 {name} {container} terminated 1 2 0 0 {message}\n")
        (folder / "job.sh").write_text(f"#!/bin/bash\n# pod default/{name}\n")
        (folder / "job.id").write_text(f"{number}\n")
        (account.claims / f"{name}.attempt").touch()
        if number % 2:
            (account.claims / f"{name}.job").symlink_to(f"{1000 + number}")
    known = await account.owner().recover()
    assert known.pods == known.attempted.keys() == pods.keys()
    assert [known.job_ids[each] for each in pods] == [str(number + number % 2 * 1000) for number in range(160)]
    listed = {each.pod: each for each in await account.site.list_pods()}
    assert {key: each.job_id for key, each in listed.items()} == known.job_ids
    for records in (known.records, [record for each in listed.values() for record in each.records]):
        assert sorted((each.pod, each.container) for each in records) == sorted(
            (key, name) for key in pods for name in ("one", "two")
        )
        assert {each.pod: each.message for each in records} == pods
