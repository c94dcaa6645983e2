"""A signed repository in memory, laid out as docs/adr/0020-signed-repository.md says, with four bins for releases."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from wire.updates import GROUP_TARGET, MANIFEST_TARGET, MODEL_TARGET, GroupRelease, ModelRef

COMPACT = JSONSerializer(compact=True)
TOP = ("root", "timestamp", "snapshot", "targets")
GROUPS = ("default", "other")


def model_bytes(size: int, seed: int = 1) -> bytes:
    block = hashlib.sha512(str(seed).encode()).digest()
    return (block * (size // len(block) + 1))[:size]


class SignedRepository:
    """`files` is what is served, by path below `/v1/repository/`."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)
        self.files: dict[str, bytes] = {}
        self.keys = {role: [CryptoSigner.generate_ed25519()] for role in (*TOP, "releases", *map(group_role, GROUPS))}
        self.keys["root"] = [CryptoSigner.generate_ed25519() for _ in range(3)]
        self.bins = SuccinctRoles([self.keys["releases"][0].public_key.keyid], 1, 2, "bin")
        root = Root(expires=self._in(days=365), consistent_snapshot=True)
        for role in TOP:
            for signer in self.keys[role]:
                root.add_key(signer.public_key, role)
        root.roles["root"].threshold = 2
        targets = Targets(expires=self._in(days=365))
        self.roles: dict[str, Metadata] = {"root": Metadata(root), "targets": Metadata(targets)}
        self.roles["snapshot"] = Metadata(Snapshot(expires=self._in(days=7)))
        self.roles["timestamp"] = Metadata(Timestamp(expires=self._in(days=1)))
        delegated: dict[str, DelegatedRole] = {}
        known = {}
        for role, paths in [("releases", "models/*/*/*")] + [(group_role(g), f"groups/{g}/*") for g in GROUPS]:
            key = self.keys[role][0].public_key
            known[key.keyid] = key
            delegated[role] = DelegatedRole(role, [key.keyid], 1, terminating=True, paths=[paths])
            self.roles[role] = Metadata(Targets(expires=self._in(days=30)))
        targets.delegations = Delegations(known, delegated)
        key = self.keys["releases"][0].public_key
        self.roles["releases"].signed.delegations = Delegations({key.keyid: key}, succinct_roles=self.bins)
        for name in self.bins.get_roles():
            self.roles[name] = Metadata(Targets(expires=self._in(days=365)))
            self.keys[name] = self.keys["releases"]
        self._sign_root([*self.keys["root"][:2]])
        self.publish(*(name for name in self.roles if name not in {"root", "snapshot", "timestamp"}), first=True)

    @property
    def first_root(self) -> bytes:
        return self.files["metadata/1.root.json"]

    def publish(self, *roles: str, first: bool = False) -> None:
        """Sign the next version of these, then of snapshot and timestamp."""
        snapshot, timestamp = self.roles["snapshot"].signed, self.roles["timestamp"].signed
        for name in roles:
            signed = self.roles[name].signed
            signed.version += 0 if first else 1
            self.files[f"metadata/{signed.version}.{name}.json"] = self._signed(name)
            snapshot.meta[f"{name}.json"] = MetaFile(signed.version)
        snapshot.version += 0 if first else 1
        data = self._signed("snapshot")
        self.files[f"metadata/{snapshot.version}.snapshot.json"] = data
        timestamp.snapshot_meta = MetaFile(snapshot.version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})
        timestamp.version += 0 if first else 1
        self.files["metadata/timestamp.json"] = self._signed("timestamp")

    def add_target(self, role: str, path: str, data: bytes, custom: dict[str, object] | None = None) -> str:
        """Sign a file; its path as served."""
        target = TargetFile.from_data(path, data, ["sha256"])
        if custom is not None:
            target.unrecognized_fields["custom"] = custom
        self.roles[role].signed.targets[path] = target
        folder, _, name = path.rpartition("/")
        served = f"targets/{folder}/{target.hashes['sha256']}.{name}"
        self.files[served] = data
        self.publish(role)
        return served

    def add_release(self, ref: ModelRef, data: bytes, **changes: object) -> str:
        """Sign a release; the path under which its model is served."""
        model = MODEL_TARGET.format(name=ref.name, version=ref.version)
        manifest = MANIFEST_TARGET.format(name=ref.name, version=ref.version)
        document = manifest_document(ref, data) | changes
        self.add_target(self.bins.get_role_for_target(manifest), manifest, json.dumps(document).encode())
        return self.add_target(self.bins.get_role_for_target(model), model, data, {"number": ref.number})

    def add_group(self, release: GroupRelease, *, as_group: str | None = None) -> str:
        group = as_group or release.group
        return self.add_target(
            group_role(group), GROUP_TARGET.format(group=group), release.model_dump_json().encode()
        )

    def rotate(self, role: str) -> None:
        """Replace the keys of a role by a new root; of root itself too."""
        root = self.roles["root"].signed
        old, new = self.keys[role], [CryptoSigner.generate_ed25519() for _ in self.keys[role]]
        for signer in old:
            root.revoke_key(signer.public_key.keyid, role)
        for signer in new:
            root.add_key(signer.public_key, role)
        self.keys[role] = new
        root.version += 1
        self._sign_root([*old[:2], *new[:2]] if role == "root" else self.keys["root"][:2])
        if role in {"timestamp", "snapshot"}:
            self.publish()

    def rotate_group(self, group: str) -> None:
        """Replace the key of a group, as the holder of the `targets` key can."""
        delegations = self.roles["targets"].signed.delegations
        signer = CryptoSigner.generate_ed25519()
        delegations.keys[signer.public_key.keyid] = signer.public_key
        delegations.roles[group_role(group)].keyids = [signer.public_key.keyid]
        self.keys[group_role(group)] = [signer]
        self.publish("targets", group_role(group))

    def _sign_root(self, signers: list[CryptoSigner]) -> None:
        metadata = self.roles["root"]
        metadata.signatures.clear()
        for signer in signers:
            metadata.sign(signer, append=True)
        self.files[f"metadata/{metadata.signed.version}.root.json"] = metadata.to_bytes(COMPACT)

    def _signed(self, name: str) -> bytes:
        metadata = self.roles[name]
        metadata.signatures.clear()
        for signer in self.keys[name]:
            metadata.sign(signer, append=True)
        return metadata.to_bytes(COMPACT)

    def _in(self, **delta: float) -> datetime:
        return self.now + timedelta(**delta)


def group_role(group: str) -> str:
    return f"group-{group}"


def ref_of(data: bytes, *, name: str = "watch", version: str = "1.0.0", number: int = 1) -> ModelRef:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return ModelRef(name=name, version=version, digest=digest, number=number)


def manifest_document(ref: ModelRef, data: bytes) -> dict[str, object]:
    return {
        "manifest": 1,
        "name": ref.name,
        "version": ref.version,
        "digest": ref.digest,
        "size": len(data),
        "input": {"width": 32, "height": 32},
        "output": {"kind": "yolov8"},
        "labels": ["person"],
        "licence": "Apache-2.0",
        "provenance": {"source": "made up by the tests"},
    }
