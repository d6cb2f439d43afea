use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::format::object::Codec;
use crate::ids::ChunkId;

fn seeds(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target)
}

/// `HEIRLOOM_FUZZ_CORPUS`: a folder with what fuzz runs found interesting, by target; here arithmetic is checked as well.
#[test]
fn fuzz_corpus_every_seed_is_replayed() {
    let corpus = std::env::var_os("HEIRLOOM_FUZZ_CORPUS").map(PathBuf::from);
    for (target, run) in targets() {
        let folders = [
            Some(seeds(target)),
            corpus.as_ref().map(|corpus| corpus.join(target)),
        ];
        for folder in folders.into_iter().flatten() {
            let files: Vec<_> = fs::read_dir(folder).unwrap().collect();
            assert!(!files.is_empty(), "{target} has seeds");
            for file in files {
                run(&fs::read(file.unwrap().path()).unwrap());
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for run in targets().into_values() {
            run(&bytes);
        }
    }

    #[test]
    fn seeds_with_a_few_other_bytes_are_taken_without_a_panic(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6), cut: usize) {
        for (target, run) in targets() {
            for mut bytes in examples(target) {
                for (at, byte) in &changes {
                    let at = at % bytes.len();
                    bytes[at] = *byte;
                }
                run(&bytes);
                bytes.truncate(cut % (bytes.len() + 1));
                run(&bytes);
            }
        }
    }
}

/// What a writer makes, small.
#[expect(
    clippy::too_many_lines,
    reason = "one example of each object, one after the other"
)]
fn examples(target: &str) -> Vec<Vec<u8>> {
    let repository = REPOSITORY.to_vec();
    let device = vec![7; 16];
    let reference = |n: u8| proto::ObjectRef {
        hash: vec![n; 32],
        bytes: 700,
    };
    let row = |n: u8| Row {
        id: [n; 16],
        pack: u32::from(n % 3),
        offset: 132,
        sealed_len: 200 * u32::from(n),
        raw_len: 90,
        ordinal: 0,
        codec: 1,
        kind: 1,
    };
    let entry = proto::ConversationEntry {
        key: vec![1; 16],
        tree: vec![2; 32],
        messages: 3,
        attachments: 1,
        first_at: 1_600_000_000_000,
        last_at: 1_600_000_900_000,
        title: "Family".into(),
        id: "49170@g.us".into(),
        app: "whatsapp".into(),
    };
    match target {
        "repo_object" => {
            let message = b"a message that is long enough to be compressed, compressed, compressed, compressed, compressed".to_vec();
            let mut sealed = Vec::new();
            header(Kind::Snapshot).0.write(&mut sealed);
            sealed.extend_from_slice(&[9; 60]);
            let inner = |codec: Codec, body: &[u8]| {
                let mut plain = vec![codec.byte()];
                plain.extend_from_slice(&u32::try_from(message.len()).unwrap().to_le_bytes());
                plain.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
                plain.extend_from_slice(body);
                plain.resize(plain.len() + 40, 0);
                plain
            };
            vec![
                sealed,
                inner(Codec::Stored, &message),
                inner(Codec::Zstd, &zstd::bulk::compress(&message, 3).unwrap()),
            ]
        }
        "repo_pack" => {
            let (header, derived) = header(Kind::Pack);
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            let len = bytes.len();
            bytes.extend_from_slice(&[6; 30]);
            let (offset, sealed_len) = (u32::try_from(len).unwrap(), 25);
            let entry = pack::DirectoryEntry {
                id: ChunkId([6; 32]),
                offset,
                sealed_len,
                raw_len: 9,
                codec: 0,
                kind: 1,
            };
            let continues = Some((ObjectHash([7; 32]), 5));
            let directory = pack::Directory {
                continues,
                payload_end: offset + 30,
                entries: vec![entry; 3],
            }
            .encode();
            let mut sealed = directory.clone();
            let tag = AeadKey::new(&derived.directory).seal(u64::MAX, &bytes[..len], &mut sealed);
            sealed.extend_from_slice(&tag);
            bytes.extend_from_slice(&sealed);
            bytes.extend_from_slice(&u32::try_from(sealed.len()).unwrap().to_le_bytes());
            assert!(pack::open_directory(&bytes, len, &derived).is_ok());
            vec![directory, bytes]
        }
        "repo_index" => {
            let mut rows = Vec::new();
            (1..6).for_each(|n| row(n).write(&mut rows));
            let place = |n: u8| proto::IndexPack {
                hash: vec![n; 32],
                bytes: 3000,
                run_key: 0,
                salt: vec![4; 32],
                commitment: vec![5; 32],
                payload_end: 2000,
                next: if n < 3 { vec![n + 1; 32] } else { Vec::new() },
            };
            let packs = vec![place(1), place(2), place(3)];
            let index = proto::Index {
                repository,
                device,
                run_keys: vec![vec![5; 40]],
                packs,
                rows: rows.clone(),
                mac: vec![8; 32],
            };
            vec![rows, index.encode_to_vec()]
        }
        "repo_head" => {
            let head = proto::Head {
                repository: repository.clone(),
                lineage: vec![3; 16],
                sequence: 9,
                parent: vec![4; 32],
                created_at: 1_700_000_000_000,
                device: device.clone(),
                snapshot: Some(reference(1)),
                keyring_number: 1,
                keyring_hash: vec![2; 32],
                oldest: 1,
                mac: vec![8; 32],
            };
            let snapshot = proto::Snapshot {
                repository: repository.clone(),
                lineage: vec![3; 16],
                sequence: 9,
                device: device.clone(),
                device_name: "laptop".into(),
                conversations: vec![entry],
                participants: vec![vec![7; 32]],
                indexes: vec![reference(2)],
                packs: vec![reference(3)],
                mac: vec![8; 32],
                ..proto::Snapshot::default()
            };
            let hash = ObjectHash([0xab; 32]);
            let name = crate::format::names::head(&crate::ids::LineageId([1; 16]), 7, &hash);
            let objects = vec![name.clone(), crate::format::names::pack(&hash)];
            let mark = proto::PruneMark {
                repository,
                device,
                created_at: 5,
                objects,
                sealed_run_key: vec![5; 40],
                mac: vec![8; 32],
            };
            vec![
                head.encode_to_vec(),
                snapshot.encode_to_vec(),
                mark.encode_to_vec(),
                name.into_bytes(),
                format!("keyring/00000001-{hash}").into_bytes(),
            ]
        }
        "repo_filter" => {
            let mut hashes = ["hello", "train", "東京"].map(terms::hash_word).to_vec();
            vec![
                terms::encode_filter(&mut hashes),
                "See you at 8, Größe! 👋 東京都 ไปไหน don't".into(),
            ]
        }
        "repo_tree" => {
            let message = Message {
                id: "m1".into(),
                author: "p1".into(),
                text: "hello".into(),
                received_at: 5,
                ..Message::default()
            };
            let mut framed = Vec::new();
            frames::push(&message, &mut framed);
            let segment = |n: u8| proto::SegmentEntry {
                id: vec![n; 32],
                first_at: 10 * i64::from(n),
                last_at: 20 * i64::from(n),
                messages: 4,
                attachments: 1,
                filter: vec![n; 32],
                added_at: 1_700_000_000_000,
                contents: vec![n; 32],
                delta: n % 2 == 1,
            };
            let conversation = Conversation {
                id: "49170@g.us".into(),
                title: "Family".into(),
                ..Conversation::default()
            }
            .encode_to_vec();
            let tree = proto::ConversationTree {
                conversation,
                segments: vec![segment(1), segment(2), segment(2)],
            };
            let content = proto::Content {
                bytes: 1_500_000,
                pieces: vec![1; 64],
                lists: Vec::new(),
            };
            vec![
                tree.encode_to_vec(),
                content.encode_to_vec(),
                framed,
                message.encode_to_vec(),
            ]
        }
        other => panic!("{other} has no examples"),
    }
}

#[test]
fn every_example_is_taken_and_can_become_a_seed() {
    // `HEIRLOOM_WRITE_SEEDS=1` makes them anew; otherwise every example must only be a seed that its parser takes.
    let write = std::env::var_os("HEIRLOOM_WRITE_SEEDS").is_some();
    for (target, run) in targets() {
        for (number, bytes) in examples(target).into_iter().enumerate() {
            run(&bytes);
            if write {
                fs::create_dir_all(seeds(target)).unwrap();
                fs::write(seeds(target).join(format!("made-{number}")), bytes).unwrap();
            }
        }
    }
}
