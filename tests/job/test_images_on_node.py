"""images.sh in a job: what a pull that fails, or is stopped, means for the pod's containers."""

import pytest

from remote_slurm.domain.records import ContainerPhase
from remote_slurm.domain.shell import words
from tests.job.node import Job, Node, sh, until


def images(node: Node, runtime: str) -> str:
    """Calls of a job whose image is pulled by a line of shell; `@` in it is the file to write."""
    names(node, {"app": runtime})
    return f"{BRING} 0 main side\n{container('main', 'cat image/app.sif')}"


def names(node: Node, runtimes: dict[str, str]) -> None:
    """Images by what pulls them."""
    settings = "cache=../cache\nmode=node\nretries=0\ndays=30\nmegabytes=100\n"
    calls = "\n".join(
        words(("image", f"{name}.sif", "IfNotPresent", f"docker://{name}", "sh", "-c", runtime, "runtime", "@"))
        for name, runtime in runtimes.items()
    )
    (node.pod / "images").write_text(f"{settings}images() {{\n{calls}\n}}\n")
    (node.pod / "runtime.sh").write_text('[ -n "$cache" ] && [ -n "$pod" ]\n')


BRING = "runtime_environment ../cache\nimages"
BROKEN = "echo 'FATAL: no such image'; exit 255"
FINE = 'printf pulled >"$1"'


def container(name: str, script: str, image: str = "app", verb: str = "container") -> str:
    return f"from_image {image}.sif\n{verb} {name} {sh(script)}\n"


def test_an_image_is_there_before_containers_start(node: Node) -> None:
    assert node.run(images(node, FINE)).code == 0
    assert node.log("main") == "pulled"


def test_a_failed_pull_ends_containers_with_the_runtimes_words(node: Node) -> None:
    calls = images(node, BROKEN)
    assert node.run(f"{calls}{container('side', 'touch ran')}").code == 1
    for name in ("main", "side"):
        assert node.ended(name).exit_code == 1
        assert "ErrImagePull: image docker://app could not be pulled" in node.ended(name).message
        assert "FATAL: no such image" in node.ended(name).message
    assert not (node.pod / "ran").exists()


def test_containers_that_have_their_images_run_to_their_end_meanwhile(node: Node) -> None:
    names(node, {"bad": BROKEN, "app": FINE})
    calls = f"{container('main', 'true', 'bad')}{container('side', 'cat image/app.sif; exit 3')}container path true\n"
    assert node.run(f"{BRING} 0 main side path\n{calls}").code == 3
    assert node.ended("main").message.startswith("not started: ErrImagePull: image docker://bad could not be pulled")
    assert (node.ended("side").exit_code, node.log("side")) == (3, "pulled")
    assert node.ended("path").exit_code == 0


@pytest.mark.parametrize("verb", ["init_container", "sidecar_container"])
def test_a_missing_init_image_keeps_the_rest_from_starting(node: Node, verb: str) -> None:
    names(node, {"bad": BROKEN, "app": FINE})
    calls = f"{container('first', 'true', 'bad', verb)}{container('main', 'touch ran')}"
    assert node.run(f"{BRING} 0 first main\n{calls}").code == 1
    assert not (node.pod / "ran").exists()
    for name in ("first", "main"):
        assert node.ended(name).message.startswith("not started: ErrImagePull: image docker://bad")


def test_an_image_that_is_never_pulled_has_a_word_of_its_own(node: Node) -> None:
    names(node, {"app": FINE})
    asked = node.pod / "images"
    asked.write_text(asked.read_text().replace("IfNotPresent", "Never"))
    assert node.run(f"{BRING} 0 main\n{container('main', 'touch ran')}").code == 1
    word = "not started: ErrImageNeverPull: image docker://app is not in the cache, and imagePullPolicy is Never"
    assert node.ended("main").message == word


def second_time(node: Node, condition: str) -> str:
    """A pull that fails once, and then waits until it can succeed."""
    tried = f"{node.root}/tried"
    wait = f"until {condition}; do sleep 0.02; done"
    return f'[ -e {tried} ] || {{ touch {tried}; exit 1; }}; {wait}; printf late >"$1"'


def retried(node: Node, seconds: int) -> Job:
    """A job whose container `main` waits so long for the second pull of an image, and `side` has its own."""
    names(node, {"bad": second_time(node, f"[ -e {node.root}/fixed ]"), "app": FINE})
    main, side = (
        container("main", "cat image/bad.sif", "bad"),
        container("side", "until [ -e go ]; do sleep 0.02; done"),
    )
    return node.start(f"pull_backoff={seconds}\n{BRING} 1 main side\n{main}{side}")


def waits_for_its_image(node: Node) -> bool:
    record = node.record("main")
    return record is not None and record.reason == "ErrImagePull" and "docker://bad" in record.message


def test_a_pull_is_tried_as_often_as_was_said(node: Node) -> None:
    names(node, {"app": f"echo >>{node.root}/tries; {BROKEN}"})
    assert node.run(f"pull_backoff=1\n{BRING} 1 main\n{container('main', 'touch ran')}").code == 1
    assert len((node.root / "tries").read_text()) == 2


def test_a_stop_ends_a_pull_that_is_tried_again(node: Node) -> None:
    again = f"[ -e {node.root}/tried ] || {{ touch {node.root}/tried; exit 1; }}; touch {node.root}/again; sleep 300"
    names(node, {"app": again})
    job = node.start(f"pull_backoff=1\n{BRING} 1 main\n{container('main', 'touch ran')}")
    until((node.root / "again").exists)
    job.term()
    assert job.end().code != 0
    assert node.ended("main").message == "not started: the job was told to stop"


def test_a_container_that_waits_for_its_image_holds_up_no_hook(node: Node) -> None:
    names(node, {"bad": BROKEN, "app": FINE})
    hooked = f"exec_mode clone\npost_start exec_in_container true\n{container('main', 'true', 'bad')}"
    job = node.start(f"pull_backoff=600\n{BRING} 1 main side\n{hooked}{container('side', 'touch ran; sleep 300')}")
    until((node.pod / "ran").exists)
    assert waits_for_its_image(node)
    job.term()
    assert job.end().code == 143


@pytest.mark.parametrize("cache", ["../cache", "../file"], ids=["the pull fails", "the cache cannot be used"])
def test_an_image_of_an_earlier_run_does_not_hide_a_failed_pull(node: Node, cache: str) -> None:
    assert node.run(images(node, FINE)).code == 0
    (node.root / "cache" / "app.sif").unlink()
    (node.root / "file").touch()
    calls = images(node, BROKEN)
    (node.pod / "images").write_text((node.pod / "images").read_text().replace("../cache", cache))
    assert (node.pod / "image" / "app.sif").exists()
    assert node.run(calls.replace("../cache", cache)).code == 1
    assert node.ended("main").message.startswith("not started: ErrImagePull: ")


def test_what_is_made_of_an_image_that_comes_late_is_made_then(node: Node) -> None:
    names(node, {"app": second_time(node, "true")})
    make = "make() { [ -e image/app.sif ] && echo made >made; }"
    main = f"from_image app.sif make\ncontainer main {sh('cat made')}"
    assert node.run(f"{make}\npull_backoff=1\n{BRING} 1 main\n{main}").code == 0
    assert node.log("main") == "made\n"


def test_a_pull_is_tried_again_while_others_run(node: Node) -> None:
    job = retried(node, 1)
    until(lambda: waits_for_its_image(node) and node.is_running("side"))
    (node.root / "fixed").touch()
    until(lambda: (record := node.record("main")) and record.phase is ContainerPhase.TERMINATED)
    assert node.is_running("side")
    (node.pod / "go").touch()
    assert job.end().code == 0
    assert node.log("main") == "late"


def test_who_waits_for_an_image_can_be_stopped(node: Node) -> None:
    job = retried(node, 600)
    until(lambda: waits_for_its_image(node) and node.is_running("side"))
    job.term()
    assert job.end().code == 143
    assert node.ended("main").message == "not started: the job was told to stop"


def test_what_is_mounted_is_looked_at_again_when_an_image_comes_late(node: Node) -> None:
    """A container that was not kept waiting may have put a link in its place."""
    (node.pod / "volumes/work").mkdir(parents=True)
    names(node, {"bad": second_time(node, f"[ -L {node.pod}/volumes/work/sub ]"), "app": FINE})
    swap = "cd volumes/work && rmdir sub && ln -s / sub"
    main, side = container("main", "touch ran", "bad"), container("side", swap)
    calls = f"{BRING} 1 main side\nsub_path volumes/work sub sub\n{main}{side}"
    assert node.run(f"pull_backoff=1\n{calls}").code == 1
    assert "subPath sub of volumes/work leads out of its volume" in node.ended("main").message
    assert not (node.pod / "ran").exists()


def test_an_image_is_unpacked_once_it_is_pulled_or_the_reason_is_reported(node: Node) -> None:
    names(node, {"bad": BROKEN, "app": FINE})
    make = 'make() { [ -e image/$1 ] && [ $2 = fine ] && touch made.$1 || { echo "no use: $2"; return 1; }; }'
    calls = [
        f"from_image {image}.sif make {image}.sif {how}\ncontainer {name} true\n"
        for name, image, how in (("main", "app", "fine"), ("side", "app", "poor"), ("third", "bad", "fine"))
    ]
    assert node.run(f"{make}\n{BRING} 0 main side third\n{''.join(calls)}").code == 1
    assert (node.pod / "made.app.sif").exists()
    assert node.ended("main").exit_code == 0
    assert node.ended("side").message == "not started: no use: poor"
    assert "docker://bad could not be pulled" in node.ended("third").message


def test_containers_wait_while_images_are_pulled_and_a_stop_ends_that(node: Node) -> None:
    job = node.start(images(node, "sleep 600"))
    until(lambda: node.record("main"))
    record = node.record("main")
    assert record is not None
    assert (record.phase, record.reason) == (ContainerPhase.WAITING, "ContainerCreating")
    assert record.number == 0, "whatever comes of it is later"
    until(
        lambda: list((node.root / "cache").glob(".app.sif.part*")) or list((node.root / "cache").glob(".app.sif.log*"))
    )
    job.term()
    assert job.end().code == 1
    assert "told to stop" in node.ended("main").message
    until(lambda: not list((node.root / "cache").glob(".app.sif.*")))
