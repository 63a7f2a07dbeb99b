"""images.sh in a job: what a pull that fails, or is stopped, means for the pod's containers."""

from node import Node, sh, until

from remote_slurm.domain.records import ContainerPhase
from remote_slurm.domain.shell import words


def images(node: Node, runtime: str) -> str:
    """Calls of a job whose image is pulled by a line of shell; `@` in it is the file to write."""
    settings = "cache=../cache\nmode=node\nretries=0\ndays=30\nmegabytes=100\n"
    call = words(("image", "app.sif", "IfNotPresent", "docker://app", "sh", "-c", runtime, "runtime", "@"))
    (node.pod / "images").write_text(f"{settings}images() {{\n{call}\n}}\n")
    (node.pod / "runtime.sh").write_text('[ -n "$cache" ] && [ -n "$pod" ]\n')
    return f"runtime_environment ../cache\nimages 0 main side\ncontainer main {sh('cat image/app.sif')}\n"


def test_an_image_is_there_before_containers_start(node: Node) -> None:
    assert node.run(images(node, 'printf pulled >"$1"')).code == 0
    assert node.log("main") == "pulled"


def test_an_image_that_cannot_be_pulled_ends_every_container_with_the_runtimes_words(node: Node) -> None:
    calls = images(node, "echo 'FATAL: no such image'; exit 255")
    assert node.run(f"{calls}container side true").code == 1
    for name in ("main", "side"):
        assert node.ended(name).exit_code == 1
        assert "ErrImagePull: image docker://app could not be pulled" in node.ended(name).message
        assert "FATAL: no such image" in node.ended(name).message


def test_containers_wait_while_images_are_pulled_and_a_stop_ends_that(node: Node) -> None:
    job = node.start(images(node, "sleep 600"))
    until(lambda: node.record("main"))
    record = node.record("main")
    assert record is not None
    assert (record.phase, record.reason) == (ContainerPhase.WAITING, "ContainerCreating")
    until(
        lambda: list((node.root / "cache").glob(".app.sif.part*")) or list((node.root / "cache").glob(".app.sif.log*"))
    )
    job.term()
    assert job.end().code == 1
    assert "told to stop" in node.ended("main").message
    until(lambda: not list((node.root / "cache").glob(".app.sif.*")))
