//! Free names within one folder.

use std::collections::HashMap;

use crate::paths;

/// The names given away in one folder, each for one content.
///
/// Names that differ only in case are one name: some file systems cannot tell them apart. Memory: 32 bytes a
/// name, whatever its length.
#[derive(Debug, Default)]
pub struct FolderNames {
    given: HashMap<[u8; 16], [u8; 16]>,
}

impl FolderNames {
    /// A name for `content`: `wished`, made safe, or with the beginning of `content` behind its stem when another
    /// content has that name already. The same wish for the same content gives the same name.
    pub fn give(&mut self, wished: &str, content: &[u8; 32]) -> String {
        let plain = paths::safe_name(wished, paths::MAX_NAME_BYTES);
        let hex = hex::encode(content);
        let suffixed = [8, 16, 32, 64]
            .into_iter()
            .map(|digits| format!("~{}", &hex[..digits]));
        // The numbers are reached only by someone who names files after others' hashes on purpose.
        let numbered = (2_u64..).map(|number| format!("~{hex}~{number}"));
        let others = suffixed
            .chain(numbered)
            .map(|suffix| paths::with_suffix(&plain, &suffix));
        let content = first_half(content);
        for name in std::iter::once(plain.clone()).chain(others) {
            let folded = first_half(blake3::hash(name.to_lowercase().as_bytes()).as_bytes());
            if *self.given.entry(folded).or_insert(content) == content {
                return name;
            }
        }
        plain
    }
}

fn first_half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_of_other_content_get_the_content_behind_them() {
        let mut names = FolderNames::default();
        assert_eq!(names.give("a.jpg", &[1; 32]), "a.jpg");
        assert_eq!(names.give("a.jpg", &[2; 32]), "a~02020202.jpg");
        assert_eq!(names.give("a.jpg", &[1; 32]), "a.jpg");
        assert_eq!(names.give("a.jpg", &[2; 32]), "a~02020202.jpg");
        assert_eq!(names.give("A.JPG", &[3; 32]), "A~03030303.JPG");
    }

    #[test]
    fn who_takes_the_suffixed_name_first_does_not_get_the_others_file() {
        let mut names = FolderNames::default();
        names.give("a.jpg", &[1; 32]);
        assert_eq!(names.give("a~02020202.jpg", &[9; 32]), "a~02020202.jpg");
        assert_eq!(names.give("a.jpg", &[2; 32]), "a~0202020202020202.jpg");
    }

    #[test]
    fn the_suffix_does_not_depend_on_the_order_of_the_others() {
        let suffixed = |order: [u8; 3]| {
            let mut names = FolderNames::default();
            names.give("x.pdf", &[0; 32]);
            let mut given: Vec<_> = order
                .iter()
                .map(|n| names.give("x.pdf", &[*n; 32]))
                .collect();
            given.sort();
            given
        };
        assert_eq!(suffixed([1, 2, 3]), suffixed([3, 1, 2]));
    }
}
