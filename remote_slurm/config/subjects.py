"""How a client certificate is named: its subject as RFC 4514 writes it, or one of its alternative names."""

from __future__ import annotations

import re
from typing import Annotated

from cryptography import x509
from cryptography.x509.oid import NameOID
from pydantic import BeforeValidator

from remote_slurm.config.scalar_types import line_of_text, shown

_EMAIL = {"emailAddress": NameOID.EMAIL_ADDRESS, "E": NameOID.EMAIL_ADDRESS}
_ALTERNATIVE = re.compile(r"(URI|DNS|email):\S+")

Rdns = tuple[tuple[tuple[str, str], ...], ...]
"""The parts of a subject, each with its attributes: an OID in dotted form, and a value or a pattern of values."""


def subject(value: object) -> str:
    """Accept a subject such as `CN=interlink,O=Example`, or an alternative name such as `URI:spiffe://...`."""
    name = line_of_text(value).strip()
    if not _ALTERNATIVE.fullmatch(name) and not rdns_of_text(name):
        raise ValueError(
            "must be a subject as `openssl x509 -noout -subject -nameopt RFC2253` prints it, such as "
            f"CN=interlink,O=Example, or an alternative name URI:..., DNS:... or email:..., not {shown(value)}"
        )
    return name


def rdns_of_text(name: str) -> Rdns:
    """Return the parts of a subject; none if the text is not one."""
    try:
        return rdns_of(x509.Name.from_rfc4514_string(name, _EMAIL))
    except ValueError:
        return ()


def rdns_of(name: x509.Name) -> Rdns:
    """Return the parts of a certificate's subject."""
    return tuple(
        tuple(sorted((attribute.oid.dotted_string, str(attribute.value)) for attribute in rdn)) for rdn in name.rdns
    )


def text_of(name: x509.Name) -> str:
    """Write a subject as it is configured."""
    return name.rfc4514_string({NameOID.EMAIL_ADDRESS: "emailAddress"})


Subject = Annotated[str, BeforeValidator(subject)]
