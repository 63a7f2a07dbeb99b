"""The words of remote scripts: each is explained in its script, and one that a parser cannot use is an error."""

import ast
import re
from pathlib import Path

import pytest

from remote_slurm.errors import RemoteFailed
from remote_slurm.site import operations
from tests.site.account import Account

SCRIPTS = sorted(Path(operations.__file__).parent.glob("*.sh"))
REPLIED = re.compile(r'\breply(?:_after_command)? "?([a-z-]+)')
EXPLAINED = re.compile(r"^#\s+>([a-z-]+)", re.MULTILINE)
VALUES = re.compile(r"^#   ([a-z_]+(?:, [a-z_]+)*)  +", re.MULTILINE)
# The texts that are put in front of scripts: every script may reply so (site/reply.py)
SHARED = {"root.sh", "arrays.sh", "attempts.sh"}
OF_ALL = {"root", "superseded", "unusable"}


@pytest.mark.parametrize("script", [each for each in SCRIPTS if each.name not in SHARED], ids=lambda each: each.stem)
def test_a_script_explains_each_word_of_its_reply(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    assert set(REPLIED.findall(code)) <= {*EXPLAINED.findall(text), *OF_ALL}


@pytest.mark.parametrize("script", [each for each in SCRIPTS if each.name not in SHARED], ids=lambda each: each.stem)
def test_a_script_with_many_values_explains_each(script: Path) -> None:
    """One or two are named beside `set in front of this text`."""
    text = script.read_text(encoding="utf-8")
    head = text[: text.index("\n\n")]
    keys = _keys(script.with_suffix(".py"))
    values = {key for key in keys if re.search(rf"\$\{{?{key}\b", text) and not re.search(rf"\b{key}=", text)}
    explained = {name for names in VALUES.findall(head) for name in names.split(", ")}
    assert len(values) < 3 or values <= explained


def _keys(module: Path) -> set[str]:
    """The keys of all dictionaries in an operation's module: the values of its script are among them."""
    nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
    keys = [key for node in nodes if isinstance(node, ast.Dict) for key in node.keys]
    return {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


async def test_a_fence_that_holds_no_id_gives_no_pod_up(account: Account) -> None:
    account.claims.mkdir(parents=True)
    (account.claims / "ns-1.attempt").write_text("")
    (account.claims / "ns-1.job").symlink_to("odd")
    with pytest.raises(RemoteFailed, match="it holds 'odd', no job's id"):
        await account.site.abandon("ns-1")
