"""docs/keyring.md: a recovery key or a passkey opens a keyring; that opens run keys and proves who wrote."""

import hashlib
import hmac
import re
import struct
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from kyber_py.ml_kem import ML_KEM_768

from wire import Refused, check

SUITE = b"X-Wing HKDF-SHA256 AES-256-GCM"


class AnotherKey(Refused):
    """The commitment belongs to another key."""


# Section 2: how anything is derived and sealed.


def u32(number):
    return struct.pack(">I", number)


def u64(number):
    return struct.pack(">Q", number)


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac256(key, data):
    return hmac.digest(key, data, "sha256")


def hkdf(salt, ikm, info, length):
    secret, block, out = hmac256(salt or bytes(32), ikm), b"", b""
    while len(out) < length:
        block = hmac256(secret, block + info + bytes([len(out) // 32 + 1]))
        out += block
    return out[:length]


def fields(label, *parts):
    return b"".join(u32(len(part)) + part for part in (label.encode(), SUITE, *parts))


def gcm_open(key, nonce, aad, sealed, what):
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except (InvalidTag, ValueError) as error:
        raise Refused(f"{what}: damaged") from error


def cseal_open(salt, ikm, info, sealed, what):
    okm = hkdf(salt, ikm, info, 64)
    if not hmac.compare_digest(okm[32:], sealed[:32]):
        raise AnotherKey(f"{what}: another key")
    return gcm_open(okm[:32], bytes(12), info, sealed[32:], what)


def pseal_open(pair, psk, info, sealed, what):
    return cseal_open(b"", pair.decapsulate(sealed[:1120]) + psk, info, sealed[1120:], what)


class XWing:
    """A key pair of X-Wing (draft-connolly-cfrg-xwing-kem-06) from its seed."""

    def __init__(self, seed):
        expanded = hashlib.shake_256(seed).digest(96)
        encapsulation_key, self.ml_kem = ML_KEM_768.key_derive(expanded[:64])
        self.x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        self.x25519_public = self.x25519.public_key().public_bytes_raw()
        self.public = encapsulation_key + self.x25519_public

    def decapsulate(self, ciphertext):
        check(len(ciphertext) == 1120, "a ciphertext of another length")
        try:
            shared = self.x25519.exchange(X25519PublicKey.from_public_bytes(ciphertext[1088:]))
        except ValueError as error:
            raise Refused("a ciphertext without a shared secret") from error
        inner = ML_KEM_768.decaps(self.ml_kem, ciphertext[:1088])
        return hashlib.sha3_256(inner + shared + ciphertext[1088:] + self.x25519_public + rb"\.//^" b"\\").digest()


def is_public_key(key):
    """True for a public key of X-Wing that encodes back to the same bytes."""
    numbers = int.from_bytes(key[:1152], "little")
    return len(key) == 1216 and all(numbers >> 12 * i & 0xFFF < 3329 for i in range(768))


# Section 8: the recovery key.


def times_alpha(element):
    return element << 1 ^ (0x1100B if element & 0x8000 else 0)


def recovery_secret(typed):
    """The 28 bytes, with one wrong group mended."""
    lines = [line for line in typed.splitlines() if not line.startswith("#")]
    dropped = re.compile("[\\s\u200b\ufeff\u00ad\\-\u2010-\u2014\u2212]")
    digits = dropped.sub("", "\n".join(lines)).translate(str.maketrans("OoIiLl|", "0011111"))
    check(re.fullmatch("[0-9a-fA-F]{64}", digits), "a recovery key has 64 digits")
    groups = [int(digits[i : i + 4], 16) for i in range(0, 64, 4)]
    s0 = s1 = 0
    for group in groups:
        s0, s1 = s0 ^ group, times_alpha(s1) ^ group
    if s0 or s1:
        wrong, power = None, s0
        for place in range(16):
            if s0 and power == s1:
                wrong = 15 - place
            power = times_alpha(power)
        check(wrong is not None, "at least two groups of the recovery key are wrong")
        groups[wrong] ^= s0
    secret = b"".join(struct.pack(">H", group) for group in groups[:14])
    check(any(secret), "a recovery key of zeros")
    return secret


# Section 4: the ways in.


class RecoveryKey:
    """64 digits; it does not know its slot, and is tried on each of its method."""

    name = "recovery key"

    def __init__(self, typed):
        self.secret = recovery_secret(typed)

    def is_for(self, slot):
        return slot.method == 1


class PasskeyOutput:
    """The 32 bytes that one passkey gave for the keyring's PRF input (section 4.1)."""

    name = "passkey"

    def __init__(self, credential_id, output):
        check(len(output) == 32 and any(output), "an output of a passkey that is none")
        self.credential_id, self.secret = credential_id, output

    def is_for(self, slot):
        return slot.method == 2 and slot.passkey.credential_id == self.credential_id


def prf_salt(prf_input):
    """Section 4.1: what a browser makes of the PRF input, and a security key over CTAP2 is given."""
    return sha256(b"WebAuthn PRF\0" + prf_input)


def slot_info(repository, slot):
    bindings = b"", b""
    if slot.method == 2:
        bindings = slot.passkey.credential_id, slot.passkey.rp_id.encode()
    elif slot.method == 3:
        bindings = slot.password.record_id, u32(slot.password.opaque_suite) + slot.password.server.encode()
    return fields("heirloom/v1/slot", repository, slot.id, u32(slot.method), *bindings)


# Sections 1 and 6: a keyring.


def lengths(record, **expected):
    for name, length in expected.items():
        value = getattr(record, name)
        for part in value if isinstance(value, list) else [value]:
            check(len(part) == length, f"{record.message}.{name} has another length")


def limited(*parts_and_limits):
    for part, limit in parts_and_limits:
        check(1 <= len(part) <= limit, "a binding of another length")


class Locked:
    """A keyring as it lies in a store; nothing in it is to be believed."""

    def __init__(self, schema, data):
        self.schema, self.hash = schema, sha256(data)
        check(len(data) <= 4 << 20, "a keyring that is too long")
        check(data[:8] == b"HLKEYRNG", "no keyring")
        check(data[8:10] == b"\0\1", "a keyring of another version")
        end = 14 + int.from_bytes(data[10:14], "big")
        check(14 <= end <= len(data), "a keyring that is cut off")
        self.header = header = self.schema.decode_canonical("Header", data[14:end])
        lengths(header, repository=16, previous=32, prf_input=32, sealed_salt=32)
        check(1 <= header.number <= 1 << 53 and header.epoch >= 1, "a keyring's number")
        check(len(header.previous) <= 2 and (header.number == 1) == (not header.previous), "a keyring's previous")
        check(len(set(header.previous)) == len(header.previous), "a keyring's previous twice")
        check(1 <= len(header.slots) <= 32 and len(header.devices) <= 64, "how many slots and devices")
        check(len({slot.id for slot in header.slots}) == len(header.slots), "a slot twice")
        check(len({slot.device for slot in header.devices}) == len(header.devices), "a device twice")
        for slot in header.slots:
            lengths(slot, id=16, salt=32, wrapped=112, sealed_root=1200)
            check(slot.method in (1, 2, 3), "a way in of an unknown method")
            check(("passkey" in slot, "password" in slot) == (slot.method == 2, slot.method == 3), "a slot's binding")
            if slot.method == 2:
                limited((slot.passkey.credential_id, 1023), (slot.passkey.rp_id.encode(), 253))
                check(len(slot.passkey.transports) <= 8, "a passkey's transports")
                limited(*((transport.encode(), 32) for transport in slot.passkey.transports))
            elif slot.method == 3:
                limited((slot.password.record_id, 64), (slot.password.server.encode(), 253))
        for slot in header.devices:
            lengths(slot, device=16)
            check(len(slot.sealed) in (2456, 2448), "a device slot of another length")
            check(len(slot.proofs) <= 64 and all(len(p.mac) == 32 for p in slot.proofs), "a device's proofs")
        macs = max(1, len(header.previous)) * 32
        check(end + 48 + macs <= len(data), "a keyring that is cut off")
        self.repository, self.number = header.repository, header.number
        self.clear_hash, self.sealed = sha256(data[:end]), data[end:-macs]
        self.macs = [data[len(data) - macs :][i : i + 32] for i in range(0, macs, 32)]
        self.place = (u64(header.number), u32(header.epoch), b"".join(header.previous))


class Keyring(Locked):
    """A keyring that a way in has opened."""

    def __init__(self, schema, data, way):
        super().__init__(schema, data)
        self.open_root(way)
        self.open_sealed()
        self.check_succession()

    def open_root(self, way):
        for index, slot in enumerate(self.header.slots):
            if not way.is_for(slot):
                continue
            try:
                inner = cseal_open(slot.salt, way.secret, slot_info(self.repository, slot), slot.wrapped, "a slot")
            except AnotherKey:
                continue
            pair, psk = XWing(inner[:32]), inner[32:]
            info = fields("heirloom/v1/root", self.repository, slot.id, *self.place, pair.public)
            self.root = pseal_open(pair, psk, info, slot.sealed_root, "the sealed root")
            self.opened = (index, pair.public, psk)
            return
        raise Refused(f"the {way.name} does not open this backup")

    def open_sealed(self):
        info = fields("heirloom/v1/keyring", self.repository, *self.place, self.clear_hash)
        plain = cseal_open(self.header.sealed_salt, self.root, info, self.sealed, "the sealed part")
        private = self.schema.decode_canonical("Sealed", plain)
        lengths(private, chunk_id_key=32, retired=32, witness=0)
        check(private.removal_due_ms >= 0, "the time of a removal")
        self.removal_due_ms, self.slots = private.removal_due_ms, private.slots
        check(len(private.older) <= 4096 and len(private.devices) <= 256, "the sealed part's limits")
        check(len(private.events) <= 32768 and len(private.retired) <= 1024, "the sealed part's limits")
        check(sorted(set(private.retired)) == private.retired, "retired passkeys out of order")
        self.epochs, below = [(self.header.epoch, self.root)], self.header.epoch - 1
        for epoch in private.older:
            check(len(epoch.root) == 32 and 1 <= epoch.number <= below, "an older epoch")
            self.epochs.append((epoch.number, epoch.root))
            below = epoch.number
        self.chunk_id_key = private.chunk_id_key
        check([s.id for s in private.slots] == [s.id for s in self.header.slots], "slots differ inside")
        index, public, psk = self.opened
        own = private.slots[index]
        check((own.public_key, own.auth_psk) == (public, psk), "a slot's own keys differ inside")
        for slot, outer in zip(private.slots, self.header.slots):
            lengths(slot, auth_psk=32, aaguid=16 if outer.method == 2 else 0)
            check(slot.last_proven_ms is not None or slot.proofs == 0, "proofs without a date")
            check(outer.method == 2 or not (slot.backup_eligible or slot.backup_state), "a slot's flags")
            check(is_public_key(slot.public_key) and len(slot.name.encode()) <= 256, "a private slot")
        self.devices = {device.id: device for device in private.devices}
        check(len(self.devices) == len(private.devices), "a device twice")
        for device in private.devices:
            lengths(device, id=16)
            check(is_public_key(device.public_key) and len(device.name.encode()) <= 256, "a device")
            check((device.revoked_ms is not None) == (device.revoked_epoch != 0), "a device's revocation")
        here = [device.id for device in private.devices if not device.revoked_epoch]
        check(here == [slot.device for slot in self.header.devices], "devices differ inside")
        self.check_events(private.events)

    def check_events(self, events):
        before = bytes(32)
        for seq, event in enumerate(events, 1):
            lengths(event, device=16, previous=32, mac=32)
            check(event.seq == seq and event.previous == before and len(event.subject) <= 32, "an event's place")
            message = fields(
                "heirloom/v1/event", self.repository, u64(seq), struct.pack(">q", event.time_ms), event.device,
                u32(event.epoch), u32(event.kind), event.subject, before,
            )  # fmt: skip
            keys = self.writer_keys(event.device, event.epoch)
            check(any(hmac.compare_digest(hmac256(key, message), event.mac) for key in keys), "an event's MAC")
            before = sha256(message + event.mac)

    def succession_mac(self, epoch, root, previous):
        key = hkdf(b"", root, fields("heirloom/v1/succession-key", self.repository, u32(epoch)), 32)
        label, number = "heirloom/v1/succession", u64(self.number)
        return hmac256(key, fields(label, self.repository, number, previous, self.clear_hash, sha256(self.sealed)))

    def check_succession(self):
        for previous, mac in zip(self.header.previous or [b""], self.macs):
            right = any(hmac.compare_digest(self.succession_mac(*epoch, previous), mac) for epoch in self.epochs)
            check(right, "a succession MAC")

    def check_follows(self, earlier):
        """Section 9.1, for an earlier keyring (its bytes) that still lies in the store."""
        name = sha256(earlier)
        if name not in self.header.previous:
            return
        end = 14 + int.from_bytes(earlier[10:14], "big")
        header = self.schema.decode_canonical("Header", earlier[14:end])
        mac = self.macs[self.header.previous.index(name)]
        right = [self.succession_mac(*epoch, name) == mac for epoch in self.epochs if epoch[0] == header.epoch]
        check(any(right) and header.number < self.number, "a keyring that does not follow the one before")

    # Sections 3 and 7: what objects need.

    def writer_keys(self, device, epoch):
        info = fields("heirloom/v1/writer", self.repository, u32(epoch), device)
        return [hkdf(b"", root, info, 32) for number, root in self.epochs if number == epoch]

    @cache
    def reader(self, epoch, root):
        return XWing(hkdf(b"", root, fields("heirloom/v1/reader", self.repository, u32(epoch)), 32))

    @cache
    def run_key(self, sealed):
        check(len(sealed) == 1204, "a sealed run key of another length")
        for epoch, root in self.epochs:
            if u32(epoch) == sealed[:4]:
                pair = self.reader(epoch, root)
                info = fields("heirloom/v1/run-key", self.repository, u32(epoch), pair.public)
                try:
                    return pseal_open(pair, b"", info, sealed[4:], "a run key")
                except AnotherKey:
                    continue
        raise Refused("a run key that no epoch opens")

    def check_writer(self, message, kind, epoch):
        """format.md, 4.3: a device of this repository wrote the message in that epoch."""
        check(message.repository == self.repository, "a message of another repository")
        device = self.devices.get(message.device)
        check(device is not None, "a device that the keyring does not know")
        check(not 0 < device.revoked_epoch <= epoch, "a device that was removed")
        unsigned = self.without_mac(message)
        signed = b"heirloom/v1/writer-mac" + bytes([kind]) + unsigned.encode()
        macs = [hmac256(key, signed) for key in self.writer_keys(message.device, epoch)]
        check(any(hmac.compare_digest(mac, message.mac) for mac in macs), "a writer's MAC")

    @staticmethod
    def without_mac(message):
        unsigned = type(message)(message.schema, message.message)
        unsigned.update({name: value for name, value in message.items() if name != "mac"})
        return unsigned
