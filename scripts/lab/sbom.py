# SPDX-License-Identifier: GPL-2.0
"""Writes what a release is made of, as an SPDX document (version 2.3, JSON)."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from lab.crates import PROGRAM, Crate

RELEASE = "SPDXRef-Release"


def document(version: str, commit: str, time: int, tarball: str, crates: Sequence[Crate]) -> str:
    """Returns the document of a release; the same for the same commit.

    ``tarball`` is the SHA-256 of the sources, ``crates`` what ringctl is made of, with ringctl.
    """
    name = f"ringdev-{version}"
    content = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'{name} {commit}')}",
        "creationInfo": {
            "created": datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Organization: The ringdev developers", f"Tool: ringdev-lab-{version}"],
        },
        "packages": [
            {
                **_package(RELEASE, "ringdev", version, "GPL-2.0-only", tarball),
                "packageFileName": f"{name}.tar.gz",
                "primaryPackagePurpose": "SOURCE",
            },
            *(_crate(crate) for crate in crates),
        ],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", RELEASE),
            *(
                _relation(RELEASE, "CONTAINS", _id(crate.key))
                for crate in crates
                if not crate.checksum
            ),
            *(
                _relation(_id(crate.key), "DEPENDS_ON", _id(use))
                for crate in crates
                for use in crate.uses
            ),
            *(
                _relation(_id(use), "BUILD_DEPENDENCY_OF", _id(crate.key))
                for crate in crates
                for use in crate.build_uses
            ),
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _crate(crate: Crate) -> dict[str, object]:
    package = _package(_id(crate.key), crate.name, crate.version, crate.license, crate.checksum)
    if crate.checksum:
        package["externalRefs"] = [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:cargo/{crate.name}@{crate.version}",
            }
        ]
    package["primaryPackagePurpose"] = "APPLICATION" if crate.name == PROGRAM else "LIBRARY"
    return package


def _package(spdx_id: str, name: str, version: str, licence: str, sha256: str) -> dict[str, object]:
    package: dict[str, object] = {
        "SPDXID": spdx_id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
    }
    if sha256:
        package["checksums"] = [{"algorithm": "SHA256", "checksumValue": sha256}]
    return package


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def _id(key: str) -> str:
    # What may stand in an identifier is letters, digits, full stops and hyphens.
    return "SPDXRef-Crate-" + key.replace("_", ".")
