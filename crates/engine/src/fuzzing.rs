//! Every parser of a repository's bytes as one function, for fuzz targets and the replay of their seeds. Not an interface.

use std::collections::BTreeMap;
use std::sync::Arc;

use heirloom_archive::{Conversation, Message, frames};
use prost::Message as _;
use secrecy::SecretBox;

use crate::aead::AeadKey;
use crate::error::EngineError;
use crate::format::header::{Header, Kind};
use crate::format::index::{ROW_BYTES, Row, parse_rows};
use crate::format::names::Name;
use crate::format::{PACK_BYTES, object, pack};
use crate::ids::ObjectHash;
use crate::keys::{Key, KeyRefused, ReaderKeys, derive_object_keys};
use crate::repository::{IndexTable, header_len};
use crate::{keyrings, marks, proto, segment, terms};

const REPOSITORY: [u8; 16] = [1; 16];
const KINDS: [Kind; 4] = [Kind::Pack, Kind::Index, Kind::Snapshot, Kind::Head];

fn key(byte: u8) -> Key {
    SecretBox::new(Box::new([byte; 32]))
}

/// Opens every run key as the same one, so that a fuzzer gets behind the encryption.
struct Reader(Key);

impl ReaderKeys for Reader {
    fn repository(&self) -> [u8; 16] {
        REPOSITORY
    }
    fn keyring_number(&self) -> u64 {
        u64::MAX
    }

    fn chunk_id_key(&self) -> &Key {
        &self.0
    }
    fn writer_keys(&self, _: &[u8; 16], _: &[u8]) -> Vec<Key> {
        vec![key(3)]
    }
    fn open_run_key(&self, _: &[u8]) -> Result<Key, KeyRefused> {
        Ok(key(2))
    }
}

fn header(kind: Kind) -> (Header, crate::keys::ObjectKeys) {
    let salt = [4; 32];
    let derived = derive_object_keys(&key(2), &salt, kind.byte(), &REPOSITORY);
    let header = Header {
        kind,
        repository: REPOSITORY,
        salt,
        commitment: derived.commitment,
        sealed_run_key: vec![5; 40],
    };
    (header, derived)
}

/// Bytes as an object, and as what lies sealed in one.
pub fn object(bytes: &[u8]) {
    let reader = Reader(key(1));
    for kind in KINDS {
        if let Ok((header, len)) = Header::parse(bytes, kind) {
            let mut again = Vec::new();
            header.write(&mut again);
            assert!(again == bytes[..len], "a header has one spelling");
        }
        // Nobody can make these without the key: nothing may open.
        assert!(
            open_object(kind, bytes.to_vec(), &reader).is_err(),
            "a random object opened"
        );
    }
    let (header, derived) = header(Kind::Head);
    let mut sealed = Vec::new();
    header.write(&mut sealed);
    let len = sealed.len();
    sealed.extend_from_slice(bytes);
    let (aad, content) = sealed.split_at_mut(len);
    let tag = AeadKey::new(&derived.content).seal(0, aad, content);
    sealed.extend_from_slice(&tag);
    let _ = open_object(Kind::Head, sealed, &reader);
}

fn open_object(
    kind: Kind,
    bytes: Vec<u8>,
    reader: &Reader,
) -> Result<(Vec<u8>, Vec<u8>), EngineError> {
    object::open(kind, bytes, "fuzz", reader.repository(), |sealed| {
        reader
            .open_run_key(sealed)
            .map(Arc::new)
            .map_err(|_| EngineError::UnlockNeeded)
    })
}

/// Bytes as a pack, and as the directory in one.
pub fn pack(bytes: &[u8]) {
    let (header, derived) = header(Kind::Pack);
    if let Ok((_, len)) = Header::parse(bytes, Kind::Pack) {
        let _ = pack::open_directory(bytes, len, &derived);
    }
    let _ = pack::open_directory(
        bytes,
        Header::len(&header.sealed_run_key).min(bytes.len()),
        &derived,
    );
    let _ = pack::Directory::decode(bytes);
}

/// Bytes as an index message; and, framed by hand, as its rows.
pub fn index(bytes: &[u8]) {
    if let Ok(index) = proto::decode_canonical::<proto::Index>(bytes) {
        walk(index);
    }
    if let Some(rows) = parse_rows(bytes) {
        let mut again = Vec::with_capacity(rows.len() * ROW_BYTES);
        for row in &rows {
            row.write(&mut again);
        }
        assert!(again == bytes, "rows have one spelling");
    }
    // Rows behind three packs that go on in one another, in a circle even.
    let hash = |n: u8| vec![n; 32];
    let place = |n: u8| proto::IndexPack {
        hash: hash(n),
        bytes: 1000 * u32::from(n),
        run_key: 0,
        salt: vec![0; 32],
        commitment: vec![0; 32],
        payload_end: 900 * u32::from(n),
        next: hash(n % 3 + 1),
    };
    let rows = bytes[..bytes.len() / ROW_BYTES * ROW_BYTES].to_vec();
    walk(proto::Index {
        run_keys: vec![vec![0; 20]],
        packs: vec![place(1), place(2), place(3)],
        rows,
        ..proto::Index::default()
    });
}

fn walk(index: proto::Index) {
    let mut table = IndexTable::default();
    if table.add(ObjectHash([0; 32]), index.clone()).is_err()
        || table.add(ObjectHash([1; 32]), index).is_err()
    {
        return;
    }
    table.avoid(|hash| hash.0[0] % 2 == 0);
    for row in table.rows() {
        assert_eq!(table.row(&row.id).map(|found| found.id), Some(row.id));
        let Ok(parts) = table.parts(row, |place| header_len(&table, place)) else {
            continue;
        };
        for (pack, offset, len) in &parts {
            let Ok(place) = table.pack(*pack) else {
                unreachable!("parts lie in packs")
            };
            assert!(
                offset
                    .checked_add(*len)
                    .is_some_and(|end| end <= place.payload_end)
            );
            assert!(usize::try_from(place.bytes).is_ok_and(|bytes| bytes <= PACK_BYTES));
        }
        assert_eq!(
            parts.iter().map(|(_, _, len)| *len).sum::<u32>(),
            row.sealed_len
        );
    }
}

/// Bytes as head, snapshot, prune mark and as an object's name.
pub fn head(bytes: &[u8]) {
    let _ = proto::decode_canonical::<proto::Head>(bytes);
    let _ = proto::decode_canonical::<proto::Snapshot>(bytes);
    let name = format!("prune/{}", ObjectHash::of(bytes));
    assert!(
        marks::verified(&name, bytes, &Reader(key(1))).is_none(),
        "nobody can sign a mark without the key"
    );
    if let Ok(name) = std::str::from_utf8(bytes) {
        if let Some(parsed) = Name::parse(name) {
            assert!(name.contains(&parsed.hash().to_string()));
            assert!(
                crate::store::is_valid_name(name),
                "every name of ours can be stored"
            );
        }
        let _ = keyrings::parse_name(name);
    }
}

/// Bytes as a term filter, and as a text to make one of.
pub fn filter(bytes: &[u8]) {
    let words: Vec<u64> = bytes
        .as_chunks::<8>()
        .0
        .iter()
        .take(4)
        .map(|word| u64::from_le_bytes(*word))
        .collect();
    let _ = terms::may_hold(bytes, &words);
    let mut hashes = Vec::new();
    terms::for_each_word(&String::from_utf8_lossy(bytes), &mut |word| {
        hashes.push(terms::hash_word(word));
    });
    let all = hashes.clone();
    let made = terms::encode_filter(&mut hashes);
    assert_eq!(
        terms::may_hold(&made, &all),
        Ok(true),
        "a filter holds what it was made of"
    );
    terms::for_each_text(bytes, &mut |_| {});
}

/// Bytes as a conversation's tree, a segment, a message, an attachment's content.
pub fn tree(bytes: &[u8]) {
    if let Ok(mut tree) = proto::decode_canonical::<proto::ConversationTree>(bytes) {
        let _ = Conversation::decode(tree.conversation.as_slice());
        crate::backup::put_in_order(&mut tree.segments);
    }
    let _ = proto::Content::decode(bytes);
    let _ = frames::decode_all::<Message>(bytes);
    let id = segment::id_of(bytes);
    assert!(id.len() <= bytes.len());
    assert!(bytes.starts_with(segment::content_of(bytes)));
    if bytes.len() == ROW_BYTES {
        let _ = <&[u8; ROW_BYTES]>::try_from(bytes).map(Row::parse);
    }
}

/// What a fuzz target runs.
pub type Target = fn(&[u8]);

/// All of them by the names of their fuzz targets.
pub fn targets() -> BTreeMap<&'static str, Target> {
    let all: [(&str, Target); 6] = [
        ("repo_object", object),
        ("repo_pack", pack),
        ("repo_index", index),
        ("repo_head", head),
        ("repo_filter", filter),
        ("repo_tree", tree),
    ];
    all.into()
}

#[cfg(test)]
mod tests;
