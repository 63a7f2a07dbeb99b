"""The annotation mpi-flags: options of mpiexec that a pod may set.

mpiexec runs on the node, outside of containers. A `:` among its arguments begins another program, a word that is no
option is the program itself, and many options name programs, files, hosts or variables. Only options that are known
to be harmless are allowed: mpirun(1) of Open MPI 4 and 5, mpiexec of MPICH 4 and Intel MPI (Hydra).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from remote_slurm.errors import InvalidRequest

_NUMBER = r"[0-9]{1,9}"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
# `ppr:2:socket:pe=4`, and not `rankfile:file=ranks`
_MAPPING = r"[A-Za-z0-9+,_.-]+(:[A-Za-z0-9+,_.-]+(=[0-9]+)?)*"

_WITHOUT_VALUE = frozenset({
    "allow-run-as-root", "bind-to-core", "bind-to-none", "bind-to-socket", "bycore", "bynode", "byslot", "bysocket",
    "disable-auto-cleanup", "display-allocation", "display-map", "l", "merge-stderr-to-stdout", "no-oversubscribe",
    "nooversubscribe", "oversubscribe", "pernode", "prepend-rank", "print-all-exitcodes", "print-rank-map", "q",
    "quiet", "report-bindings", "rr", "tag-output", "timestamp-output", "use-hwthread-cpus", "v",
    "verbose",
})  # fmt: skip
_WITH_VALUE = {
    **dict.fromkeys(
        ("N", "c", "cpus-per-proc", "cpus-per-rank", "grr", "n", "np", "npernode", "npersocket", "perhost", "ppn",
         "timeout", "usize"),
        _NUMBER,
    ),
    **dict.fromkeys(("bind-to", "map-by", "rank-by", "membind"), _MAPPING),
    "iface": _NAME,
}  # fmt: skip
_PARAMETERS = frozenset({"mca", "gmca", "omca"})
# Of Open MPI's parameters, some name programs (plm_rsh_agent), files or folders of libraries
_PARAMETER_NAMES = frozenset({
    "btl", "btl_base_verbose", "btl_openib_allow_ib", "btl_tcp_if_exclude", "btl_tcp_if_include",
    "btl_vader_single_copy_mechanism", "coll", "coll_hcoll_enable", "hwloc_base_binding_policy", "io",
    "mpi_warn_on_fork", "mpi_yield_when_idle", "mtl", "oob_tcp_if_exclude", "oob_tcp_if_include",
    "opal_common_ucx_devices", "opal_common_ucx_tls", "opal_warn_on_missing_libcuda", "orte_base_help_aggregate",
    "orte_keep_fqdn_hostnames", "osc", "pml", "pml_base_verbose", "pml_ucx_devices", "pml_ucx_tls",
    "rmaps_base_mapping_policy", "rmaps_base_oversubscribe", "rmaps_base_ranking_policy",
})  # fmt: skip
# Characters of a rejected word that a message shows: the word may contain a credential
_SHOWN = 12
_PARAMETER_VALUE = r"[A-Za-z0-9^][A-Za-z0-9^,._:+-]*"
_IN_WORDS = {
    _NUMBER: "a number",
    _NAME: "a name of letters, digits, '.', '_', '+' and '-'",
    _MAPPING: "a mapping such as core or ppr:2:socket:pe=4",
    _PARAMETER_VALUE: "letters, digits and ^ , . _ : + -",
}


def check_mpi_flags(words: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Return the words as they are. Raises InvalidRequest for one that is no known option, or no value for one."""
    left = list(words)
    while left:
        word = left.pop(0)
        name = re.sub(r"^--?", "", word)
        if name == word or not name:
            raise InvalidRequest(
                f"invalid word '{word[:_SHOWN]}' in {where}: must be an option, since mpiexec would run any other "
                "word as "
                "a program of the node"
            )
        if name in _PARAMETERS:
            _check_parameter(left, word, where)
            _check_value(left, word, _PARAMETER_VALUE, where)
        elif name in _WITH_VALUE:
            _check_value(left, word, _WITH_VALUE[name], where)
        elif name not in _WITHOUT_VALUE:
            option = word.partition("=")[0]
            raise InvalidRequest(f"invalid option {option} in {where}: must be one of {', '.join(_known())}")
    return words


def _known() -> Iterator[str]:
    yield from (f"-{name}" for name in sorted({*_WITHOUT_VALUE, *_WITH_VALUE, *_PARAMETERS}, key=str.lower))


def _check_parameter(left: list[str], option: str, where: str) -> None:
    if _next_word(left, option, where) not in _PARAMETER_NAMES:
        raise InvalidRequest(f"{where}: the parameter of {option} must be one of {', '.join(sorted(_PARAMETER_NAMES))}")


def _check_value(left: list[str], option: str, pattern: str, where: str) -> None:
    if not re.fullmatch(pattern, _next_word(left, option, where)):
        raise InvalidRequest(f"{where}: the value of {option} must be {_IN_WORDS[pattern]}")


def _next_word(left: list[str], option: str, where: str) -> str:
    if not left:
        raise InvalidRequest(f"{where}: {option} needs a value")
    return left.pop(0)
