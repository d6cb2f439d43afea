//! The names of objects.

use crate::ids::{LineageId, ObjectHash};

pub(crate) fn pack(hash: &ObjectHash) -> String {
    let hex = hash.to_string();
    format!("packs/{}/{hex}", &hex[..2])
}

pub(crate) fn index(hash: &ObjectHash) -> String {
    format!("index/{hash}")
}

pub(crate) fn snapshot(hash: &ObjectHash) -> String {
    format!("snapshots/{hash}")
}

pub(crate) fn head(lineage: &LineageId, sequence: u64, hash: &ObjectHash) -> String {
    format!("heads/{lineage}/{sequence:010}-{hash}")
}

pub(crate) fn prune_mark(hash: &ObjectHash) -> String {
    format!("prune/{hash}")
}

/// What an object's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Keyring(ObjectHash),
    Pack(ObjectHash),
    Index(ObjectHash),
    Snapshot(ObjectHash),
    Head(LineageId, u64, ObjectHash),
    PruneMark(ObjectHash),
}

impl Name {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (place, rest) = name.split_once('/')?;
        match place {
            "keyring" => crate::keyrings::parse_name(name).map(|(_, hash)| Self::Keyring(hash)),
            "packs" => {
                let (folder, hex) = rest.split_once('/')?;
                let hash = ObjectHash::from_hex(hex)?;
                (hex.get(..2) == Some(folder)).then_some(Self::Pack(hash))
            }
            "index" => ObjectHash::from_hex(rest).map(Self::Index),
            "snapshots" => ObjectHash::from_hex(rest).map(Self::Snapshot),
            "heads" => {
                let (lineage, rest) = rest.split_once('/')?;
                let (sequence, hex) = rest.split_once('-')?;
                if sequence.len() != 10 || !sequence.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                Some(Self::Head(
                    LineageId::from_hex(lineage)?,
                    sequence.parse().ok()?,
                    ObjectHash::from_hex(hex)?,
                ))
            }
            "prune" => ObjectHash::from_hex(rest).map(Self::PruneMark),
            _ => None,
        }
    }

    pub(crate) fn hash(&self) -> ObjectHash {
        match self {
            Self::Keyring(hash)
            | Self::Pack(hash)
            | Self::Index(hash)
            | Self::Snapshot(hash)
            | Self::Head(_, _, hash)
            | Self::PruneMark(hash) => *hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_it_names_and_has_one_spelling() {
        let hash = ObjectHash([0xab; 32]);
        let lineage = LineageId([1; 16]);
        assert_eq!(Name::parse(&pack(&hash)), Some(Name::Pack(hash)));
        assert_eq!(
            Name::parse(&head(&lineage, 7, &hash)),
            Some(Name::Head(lineage, 7, hash))
        );
        assert_eq!(Name::parse(&index(&hash)), Some(Name::Index(hash)));
        for wrong in [
            index(&hash).to_uppercase(),
            pack(&hash).replace("packs/ab", "packs/ac"),
            "index/".into(),
            "heads/x".into(),
            format!("heads/{lineage}/7-{hash}"),
            "else/ab".into(),
        ] {
            assert_eq!(Name::parse(&wrong), None, "{wrong}");
        }
    }
}
