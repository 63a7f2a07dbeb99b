"""The table of sbatch options is held against each site's sbatch: an option in no class fails."""

import re

from remote_slurm.domain.slurm.sbatch_options import SBATCH_OPTIONS, SHORT_OPTIONS, Form
from tests.sites import Site

_OPTION = re.compile(r"^(?:  -(?P<short>[A-Za-z]), | {6})--(?P<name>[a-z0-9-]+)(?P<value>\[?=)?", re.MULTILINE)
# What the help gets wrong (opt.c and slurm_opt.c of Slurm 20.11 to 26.05): these take a value
_VALUE_NOT_SHOWN = {"container", "container-id"}


def test_every_option_of_this_slurm_has_a_class_and_the_form_of_the_table(each_site: Site) -> None:
    found = [*_OPTION.finditer(each_site.exec("sbatch --help"))]
    assert len(found) > 80
    for option in found:
        known = SBATCH_OPTIONS.get(option["name"])
        assert known, f"--{option['name']} is in no class of remote_slurm/domain/slurm/sbatch_options.py"
        if option["short"]:
            assert SHORT_OPTIONS[option["short"]] == known.name
        if option["name"] not in _VALUE_NOT_SHOWN and known.form is not Form.OPTIONAL:
            assert (known.form is Form.VALUE) == bool(option["value"]), option[0]
