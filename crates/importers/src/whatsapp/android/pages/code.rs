//! A map as bytes, for local state.

use super::{Identity, Leaf, PageHash, PageMap};

const VERSION: u8 = 1;

/// The pages of a table, as they stand in an encoded map. Takes them one by one: a quarter of the memory.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::whatsapp::android) struct EncodedLeaves {
    bytes: Vec<u8>,
    count: u64,
    before: i64,
}

impl EncodedLeaves {
    pub(super) fn push(&mut self, leaf: &Leaf) {
        let Leaf {
            first,
            last,
            hash,
            links,
        } = leaf;
        let out = &mut self.bytes;
        signed(out, first.wrapping_sub(self.before));
        signed(out, last.wrapping_sub(*first));
        self.before = *last;
        self.count += 1;
        out.extend(hash);
        unsigned(out, len(links));
        let mut before = 0i64;
        for link in links {
            signed(out, link.wrapping_sub(before));
            before = *link;
        }
    }

    fn write(&self, place: u8, out: &mut Vec<u8>) {
        out.push(place);
        unsigned(out, self.count);
        out.extend_from_slice(&self.bytes);
    }
}

impl PageMap {
    /// Puts the table of messages, the first of all, into a map that was encoded without it.
    pub(in crate::whatsapp::android) fn encoded_with_messages(
        encoded: &[u8],
        messages: &EncodedLeaves,
    ) -> Option<Vec<u8>> {
        let mut input = Input(encoded);
        input.byte()?;
        input.unsigned()?;
        input.hash()?;
        for _ in 0..2 {
            input.signed()?;
            input.hash()?;
        }
        let head = encoded.len() - input.0.len();
        let tables = input.unsigned()?;
        let mut out = encoded.get(..head)?.to_vec();
        out.reserve_exact(input.0.len() + messages.bytes.len() + 32);
        unsigned(&mut out, tables + 1);
        messages.write(0, &mut out);
        out.extend_from_slice(input.0);
        Some(out)
    }

    /// The map as bytes. Whoever keeps them must not let others change them.
    pub fn encode(&self) -> Vec<u8> {
        let Self {
            page_bytes,
            schema,
            people,
            chats,
            tables,
        } = self;
        let mut out = vec![VERSION];
        unsigned(&mut out, u64::from(*page_bytes));
        out.extend(schema);
        for Identity { last, hash } in [people, chats] {
            signed(&mut out, *last);
            out.extend(hash);
        }
        unsigned(&mut out, len(tables));
        for (place, leaves) in tables {
            let mut encoded = EncodedLeaves::default();
            for leaf in leaves {
                encoded.push(leaf);
            }
            encoded.write(*place, &mut out);
        }
        out
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        if input.byte()? != VERSION {
            return None;
        }
        let page_bytes = u32::try_from(input.unsigned()?).ok()?;
        let schema = input.hash()?;
        let people = Identity {
            last: input.signed()?,
            hash: input.hash()?,
        };
        let chats = Identity {
            last: input.signed()?,
            hash: input.hash()?,
        };
        let mut tables = Vec::new();
        for _ in 0..input.count()? {
            let place = input.byte()?;
            let mut leaves = Vec::new();
            let mut before = 0i64;
            for _ in 0..input.count()? {
                let first = before.wrapping_add(input.signed()?);
                let last = first.wrapping_add(input.signed()?);
                before = last;
                let hash = input.hash()?;
                let mut links = Vec::new();
                let mut link = 0i64;
                for _ in 0..input.count()? {
                    link = link.wrapping_add(input.signed()?);
                    links.push(link);
                }
                leaves.push(Leaf {
                    first,
                    last,
                    hash,
                    links,
                });
            }
            tables.push((place, leaves));
        }
        input.0.is_empty().then_some(Self {
            page_bytes,
            schema,
            people,
            chats,
            tables,
        })
    }
}

pub(in crate::whatsapp::android) fn len<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}

pub(in crate::whatsapp::android) fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7F).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Zigzag: small numbers of either sign are short.
pub(in crate::whatsapp::android) fn signed(out: &mut Vec<u8>, value: i64) {
    unsigned(
        out,
        u64::from_ne_bytes(((value << 1) ^ (value >> 63)).to_ne_bytes()),
    );
}

pub(in crate::whatsapp::android) struct Input<'b>(pub(in crate::whatsapp::android) &'b [u8]);

impl Input<'_> {
    pub(in crate::whatsapp::android) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(in crate::whatsapp::android) fn hash(&mut self) -> Option<PageHash> {
        let (hash, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*hash)
    }

    pub(in crate::whatsapp::android) fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(in crate::whatsapp::android) fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        let half = i64::from_ne_bytes((value >> 1).to_ne_bytes());
        Some(half ^ -i64::from_ne_bytes((value & 1).to_ne_bytes()))
    }

    /// A number of things, each of which takes a byte at least.
    pub(in crate::whatsapp::android) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.unsigned()?)
            .ok()
            .filter(|count| *count <= self.0.len())
    }
}
