use secrecy::SecretBox;

use super::*;

fn keys() -> WriterKeys {
    let key = |byte| SecretBox::new(Box::new([byte; 32]));
    WriterKeys::new(
        [1; 16],
        [2; 16],
        1,
        [3; 32],
        key(4),
        vec![5; 1200],
        key(6),
        key(7),
    )
}

fn push(builder: &mut PackBuilder, text: &[u8]) -> ChunkId {
    let id = ChunkId(*blake3::hash(text).as_bytes());
    let at = builder.buffer().len();
    builder.buffer().extend_from_slice(text);
    builder.seal_tail(
        at,
        id,
        ChunkKind::Piece,
        Codec::Stored,
        text.len(),
        &[1; 16],
    );
    id
}

fn derived(pack: &FinishedPack) -> (ObjectKeys, usize) {
    let (header, len) = Header::parse(pack.bytes(), Kind::Pack).unwrap();
    (
        derive_object_keys(
            &keys().run_key,
            &header.salt,
            Kind::Pack.byte(),
            &header.repository,
        ),
        len,
    )
}

#[test]
fn full_packs_have_one_exact_size_and_entries_go_on_in_the_next() {
    let keys = keys();
    let mut builder = PackBuilder::new(&keys, [8; 32], Vec::new());
    let mut packs = Vec::new();
    let mut texts = Vec::new();
    for n in 0..40u32 {
        let text: Vec<u8> = (0..700_000)
            .map(|i: u32| (i.wrapping_mul(n + 7) >> 3).to_le_bytes()[0])
            .collect();
        push(&mut builder, &text);
        texts.push(text);
        while builder.is_full() {
            let (pack, carried) = builder.finish_full();
            let next = PackBuilder::going_on(&keys, [9; 32], Vec::new(), pack.hash, &carried);
            packs.push(pack);
            builder = next;
        }
    }
    let last = builder.finish_last();
    assert!(packs.len() >= 3);
    let mut opened = Vec::new();
    let mut begun: Option<(DirectoryEntry, Vec<u8>, AeadKey, u64)> = None;
    for pack in packs.iter().chain([&last]) {
        assert_eq!(ObjectHash::of(pack.bytes()), pack.hash);
        let (derived, header_len) = derived(pack);
        let directory = open_directory(pack.bytes(), header_len, &derived).unwrap();
        assert_eq!(directory, pack.directory);
        if let Some((entry, mut bytes, aead, ordinal)) = begun.take() {
            let rest = usize::try_from(directory.continues.unwrap().1).unwrap();
            bytes.extend_from_slice(&pack.bytes()[header_len..header_len + rest]);
            let place = entry_aad(&[1; 16], &entry.id, 0, entry.kind, entry.raw_len);
            opened.push(aead.open(ordinal, &place, &mut bytes).unwrap().to_vec());
        }
        for (ordinal, entry) in (0u64..).zip(&directory.entries) {
            let at = usize::try_from(entry.offset).unwrap();
            let end = at + usize::try_from(entry.sealed_len).unwrap();
            let payload_end = usize::try_from(directory.payload_end).unwrap();
            let mut bytes = pack.bytes()[at..end.min(payload_end)].to_vec();
            let aead = AeadKey::new(&derived.content);
            if end > payload_end {
                assert!(pack.goes_on);
                begun = Some((*entry, bytes, aead, ordinal));
                continue;
            }
            let place = entry_aad(&[1; 16], &entry.id, 0, entry.kind, entry.raw_len);
            opened.push(aead.open(ordinal, &place, &mut bytes).unwrap().to_vec());
        }
    }
    assert!(packs.iter().all(|pack| pack.bytes().len() == PACK_BYTES));
    assert!(opened == texts);
}

#[test]
fn an_entry_larger_than_a_pack_spans_several() {
    let keys = keys();
    let mut builder = PackBuilder::new(&keys, [8; 32], Vec::new());
    push(&mut builder, &vec![9; 20_000_000]);
    let mut sizes = Vec::new();
    while builder.is_full() {
        let (pack, carried) = builder.finish_full();
        let next = PackBuilder::going_on(&keys, [9; 32], Vec::new(), pack.hash, &carried);
        assert_eq!(ObjectHash::of(pack.bytes()), pack.hash);
        sizes.push(pack.bytes().len());
        builder = next;
    }
    let last = builder.finish_last();
    assert_eq!(sizes, [PACK_BYTES, PACK_BYTES]);
    assert_eq!(ObjectHash::of(last.bytes()), last.hash);
    assert!(last.bytes().len() < 5_000_000);
}

#[test]
fn many_small_entries_fill_a_pack_exactly() {
    let keys = keys();
    let mut builder = PackBuilder::new(&keys, [8; 32], Vec::new());
    for n in 0..200_000u32 {
        push(&mut builder, &n.to_le_bytes().repeat(10));
        if builder.is_full() {
            let (pack, carried) = builder.finish_full();
            let next = PackBuilder::going_on(&keys, [9; 32], Vec::new(), pack.hash, &carried);
            assert_eq!(pack.bytes().len(), PACK_BYTES);
            assert_eq!(ObjectHash::of(pack.bytes()), pack.hash);
            drop(next);
            return;
        }
    }
    panic!("never full");
}

#[test]
fn hostile_directories_never_panic() {
    for len in [0, 10, 31, 44, 60, 92, 200] {
        let _ = Directory::decode(&vec![0xff; len]);
        let _ = Directory::decode(&vec![0; len]);
    }
}
