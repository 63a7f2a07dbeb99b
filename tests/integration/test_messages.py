"""What a container says of its own end: terminationMessagePath and terminationMessagePolicy."""

from tests.pods import pod, request, sh
from tests.serving import Serving
from tests.shared_folder import folder_of, with_folder


def test_the_message_is_what_the_container_wrote_to_its_path(served: Serving) -> None:
    a_pod = with_folder(sh("c", "printf 'two\\nlines\\n' >$DIR/message; exit 3"), sh("log", "echo log; exit 4"))
    a_pod["spec"]["containers"][0]["terminationMessagePath"] = f"{folder_of(a_pod)}/message"
    a_pod["spec"]["containers"][1]["terminationMessagePolicy"] = "FallbackToLogsOnError"
    reported = served.vk.create(request(a_pod)).until_over()
    assert reported.terminated("c")["message"] == "two\nlines"
    assert reported.terminated("log")["message"] == "log"


def test_the_path_need_not_be_in_the_image(served24: Serving) -> None:
    """Not even in /dev, where it is unless a pod says otherwise, and where a contained container has its own files."""
    reported = served24.vk.create(
        request(
            pod(
                sh("default", "echo by default >/dev/termination-log; exit 3"),
                sh("elsewhere", "echo elsewhere >/not/there/message", terminationMessagePath="/not/there/message"),
                sh("sif", "echo in a file >/dev/termination-log", image="busybox.sif"),
                sh("none", "echo log; exit 4"),
            )
        )
    ).until_over()
    assert reported.terminated("default")["message"] == "by default"
    assert reported.terminated("elsewhere")["message"] == "elsewhere"
    assert reported.terminated("sif")["message"] == "in a file"
    assert "message" not in reported.terminated("none")
