"""Names of licences: the SPDX identifiers that data comes under, compared without case.

Licences for data and texts, and the software licences that data is often published with; written down from the SPDX
Licence List (https://spdx.org/licenses/), whose identifiers are matched without regard to case (SPDX specification,
annex on licence expressions). Others may be used: they are only warned of.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

#: What a source has whose licence nobody named.
UNKNOWN = "unknown"

_CREATIVE_COMMONS = tuple(
    f"CC-{kind}-{version}"
    for kind in ("BY", "BY-SA", "BY-NC", "BY-ND", "BY-NC-SA", "BY-NC-ND")
    for version in ("1.0", "2.0", "2.5", "3.0", "4.0")
)
_GNU = tuple(
    f"{name}-{which}"
    for name in ("GPL-2.0", "GPL-3.0", "LGPL-2.1", "LGPL-3.0", "AGPL-3.0", "GFDL-1.2", "GFDL-1.3")
    for which in ("only", "or-later")
)

#: The identifiers known here, as SPDX spells them.
KNOWN: tuple[str, ...] = (
    *("0BSD", "AFL-3.0", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear"),
    *("BSL-1.0", "C-UDA-1.0", "CC-PDDC", "CC0-1.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0"),
    *("DL-DE-BY-2.0", "DL-DE-ZERO-2.0", "ECL-2.0", "EPL-2.0", "etalab-2.0", "EUPL-1.2", "ISC", "MIT", "MIT-0"),
    *("MPL-2.0", "MulanPSL-1.0", "MulanPSL-2.0", "NLOD-2.0", "O-UDA-1.0", "ODbL-1.0", "ODC-By-1.0", "OGL-UK-3.0"),
    *("OSL-3.0", "PDDL-1.0", "Unlicense", "W3C", "WTFPL", "Zlib"),
    *_CREATIVE_COMMONS,
    *_GNU,
)
_BY_FOLDED = {name.casefold(): name for name in KNOWN}

#: `LicenseRef-NAME` is how SPDX writes a licence that has no identifier, such as a contract of your own.
_OWN = re.compile(r"licenseref-[a-z0-9.-]+", re.IGNORECASE)
_BETWEEN = re.compile(r"\s+(?:and|or)\s+|[()]", re.IGNORECASE)


def refused(licence: str, allow: Sequence[str]) -> bool:
    """Whether a source under `licence` may not be used where only those in `allow` may; case does not count."""
    return licence.strip().casefold() not in {name.strip().casefold() for name in allow}


def remark(licence: str) -> str | None:
    """What to say of a licence that is no SPDX identifier known here; None where there is nothing to say."""
    if licence.strip().casefold() == UNKNOWN:
        return None
    strange = [
        name
        for name in (part.strip() for part in _BETWEEN.split(licence))
        if name and name.casefold() not in _BY_FOLDED and not _OWN.fullmatch(name)
    ]
    if not strange:
        return None
    near = difflib.get_close_matches(strange[0].casefold(), _BY_FOLDED, n=1, cutoff=0.5)
    meant = f" Did you mean {_BY_FOLDED[near[0]]}?" if near else ""
    return (
        f"the licence {strange[0]!r} is no SPDX identifier known here.{meant} A licence of your own is written "
        "LicenseRef-NAME."
    )


def listed(names: Iterable[str]) -> str:
    """Licences to be shown in a message."""
    return ", ".join(names) or "none"
