"""Jobs that are changed by hand, with checksums that fit. This is also an independent reading of the manifest."""

from __future__ import annotations

import hashlib
import json

SEAL = "manifest_sha256"


def read_manifest(job):
    """The manifest of a job's folder, without its own checksum."""
    manifest = json.loads((job / "manifest.json").read_text("utf-8"))
    manifest.pop(SEAL, None)
    return manifest


def write_manifest(job, manifest):
    """Writes the manifest with its own checksum, which is computed with zeros in its place."""
    text = json.dumps({**manifest, SEAL: "0" * 64}, indent=2) + "\n"
    (job / "manifest.json").write_text(text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest()), "utf-8")


def seal(job):
    """Makes the manifest fit the files as they are now."""
    manifest = read_manifest(job)
    for name in manifest["files"]:
        content = (job / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_manifest(job, manifest)
