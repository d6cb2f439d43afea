//! File names that every file system takes, made from names that strangers chose.

use std::fmt;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

/// The longest name that [`safe_name`] makes, in bytes.
///
/// The tightest common limit is 143 bytes (eCryptfs); this leaves room for a suffix and a marker of
/// unfinished files.
pub const MAX_NAME_BYTES: usize = 112;

/// The longest file-name extension that is kept when a name is cut, in bytes without the dot.
const MAX_EXTENSION_BYTES: usize = 16;

/// The longest single name accepted in a [`RelativePath`]: a safe name with a suffix.
const MAX_COMPONENT_BYTES: usize = 200;

/// The deepest path accepted.
const MAX_COMPONENTS: usize = 16;

/// Makes a file name that is one path component on every file system, at most `max_bytes` long.
///
/// Normalises to NFC; replaces separators and characters that Windows refuses; removes control and
/// bidi control characters, leading dots and spaces, trailing dots and spaces; moves names that
/// Windows reserves out of the way; cuts the stem rather than the extension. Idempotent. Two names
/// may become one: see [`crate::form::ConversationWriter::attachment_path`].
pub fn safe_name(name: &str, max_bytes: usize) -> String {
    let mut name = clean(name);
    // Cutting may bare a reserved name and moving that may need a cut: two rounds settle it.
    for _ in 0..4 {
        let next = clean(&cut(&unreserved(&name), max_bytes));
        if next == name {
            break;
        }
        name = next;
    }
    name
}

/// Puts `suffix` behind the stem, before the extension: `a.jpg` and `~1f` give `a~1f.jpg`.
pub fn with_suffix(name: &str, suffix: &str) -> String {
    let (stem, extension) = split_extension(name);
    format!("{stem}{suffix}{extension}")
}

/// A path below a folder that cannot leave it: every component is a [`safe_name`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelativePath(String);

impl RelativePath {
    /// Checks a path with `/` between names. `None` for anything that [`safe_name`] would change.
    pub fn parse(path: &str) -> Option<Self> {
        let safe = |part: &str| {
            part.len() <= MAX_COMPONENT_BYTES && safe_name(part, MAX_COMPONENT_BYTES) == part
        };
        let ok = path.split('/').count() <= MAX_COMPONENTS && path.split('/').all(safe);
        ok.then(|| Self(path.to_owned()))
    }

    /// Joins names, each of which is made safe first.
    pub fn of(names: &[&str]) -> Self {
        let names: Vec<String> = names
            .iter()
            .map(|name| safe_name(name, MAX_COMPONENT_BYTES))
            .collect();
        Self(names.join("/"))
    }

    /// The path with `/` between names.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below `root`, in the system's own form.
    pub fn below(&self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        path.extend(self.0.split('/'));
        path
    }

    /// The path below `root` if no component of it is a symbolic link.
    ///
    /// Reads the file system; what is missing is no link.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn below_without_links(&self, root: &Path) -> std::io::Result<PathBuf> {
        let mut path = root.to_owned();
        for part in self.0.split('/') {
            path.push(part);
            match std::fs::symlink_metadata(&path) {
                Ok(data) if data.is_symlink() => {
                    return Err(std::io::Error::new(
                        std::io::ErrorKind::InvalidInput,
                        format!("{} is a symbolic link", self.0),
                    ));
                }
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(path)
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn clean(name: &str) -> String {
    let name: String = name
        .chars()
        .filter(|c| !is_removed(*c))
        .map(replaced)
        .nfc()
        .collect();
    let name = name.trim_start_matches(|c: char| c == '.' || c.is_whitespace());
    let name = name.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    if name.is_empty() {
        "unnamed".to_owned()
    } else {
        name.to_owned()
    }
}

/// Control characters, and those that turn the direction of text: `photo\u{202E}gpj.exe` must not look
/// like a picture.
fn is_removed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0001}')
}

fn replaced(c: char) -> char {
    match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        // A plain space for every other kind, so that names can be typed.
        c if c.is_whitespace() => ' ',
        c => c,
    }
}

fn unreserved(name: &str) -> String {
    let stem = name
        .split('.')
        .next()
        .unwrap_or(name)
        .trim_end()
        .to_uppercase();
    let device = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| {
            let mut chars = rest.chars();
            matches!(chars.next(), Some('0'..='9' | '¹' | '²' | '³')) && chars.next().is_none()
        })
    };
    let fixed = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str());
    if fixed || device("COM") || device("LPT") {
        format!("_{name}")
    } else {
        name.to_owned()
    }
}

fn cut(name: &str, max_bytes: usize) -> String {
    if name.len() <= max_bytes {
        return name.to_owned();
    }
    let (stem, extension) = split_extension(name);
    let room = max_bytes.saturating_sub(extension.len()).max(1);
    let stem = stem[..floor_boundary(stem, room)]
        .trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    format!("{stem}{extension}")
}

fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(0)
}

/// Splits off an extension with its dot, if it is short and plain.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 => {
            let extension = &name[dot + 1..];
            let plain = !extension.is_empty()
                && extension.len() <= MAX_EXTENSION_BYTES
                && extension.chars().all(|c| c.is_ascii_alphanumeric());
            if plain {
                name.split_at(dot)
            } else {
                (name, "")
            }
        }
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn safe(name: &str) -> String {
        safe_name(name, MAX_NAME_BYTES)
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in [
            "IMG-20240101-WA0001.jpg",
            "Rechnung März (2).pdf",
            "写真.png",
            "👩‍👩‍👧.webp",
            "a.tar.gz",
            "-rf",
        ] {
            assert_eq!(safe(name), name);
        }
    }

    #[test]
    fn nothing_leaves_the_folder() {
        assert_eq!(safe("../../etc/passwd"), "_.._etc_passwd");
        assert_eq!(safe("/etc/passwd"), "_etc_passwd");
        assert_eq!(safe(r"C:\Windows\x.dll"), "C__Windows_x.dll");
        assert_eq!(safe(".."), "unnamed");
        assert_eq!(safe(""), "unnamed");
        assert_eq!(safe(".bashrc"), "bashrc");
        assert_eq!(safe("a\0b\n.jpg"), "ab.jpg");
    }

    #[test]
    fn names_that_windows_reserves_are_moved_out_of_the_way() {
        for name in ["CON", "nul.txt", "Com1.jpg", "LPT¹", "aux .png", "conin$"] {
            assert!(safe(name).starts_with('_'), "{name}");
        }
        assert_eq!(safe("CONTACT.vcf"), "CONTACT.vcf");
        assert_eq!(safe("trailing. . ."), "trailing");
        assert_eq!(safe("what?.jpg"), "what_.jpg");
    }

    #[test]
    fn a_name_cannot_turn_the_direction_of_its_extension() {
        assert_eq!(safe("photo\u{202E}gpj.exe"), "photogpj.exe");
    }

    #[test]
    fn a_long_name_keeps_its_extension_and_whole_characters() {
        let name = safe(&format!("{}.jpeg", "ü".repeat(300)));
        assert!(
            name.len() <= MAX_NAME_BYTES && name.ends_with("ü.jpeg"),
            "{name}"
        );
        let reserved = safe(&format!("CON{}x.jpg", " ".repeat(300)));
        assert_eq!(reserved, "_CON.jpg");
    }

    #[test]
    fn paths_that_a_writer_never_makes_are_refused() {
        for path in [
            "",
            "/a",
            "a//b",
            "a/../b",
            "./a",
            "a/",
            "a\\b",
            ".hidden",
            "a/CON",
            "x\u{202E}y",
            &"a/".repeat(40),
        ] {
            assert_eq!(RelativePath::parse(path), None, "{path}");
        }
        assert!(RelativePath::parse("conversations/Ana-1a2b3c4d/attachments/x~12.jpg").is_some());
    }

    proptest! {
        #[test]
        fn every_name_becomes_one_safe_component(name in ".{0,200}", max in 24_usize..200) {
            let made = safe_name(&name, max);
            prop_assert!(!made.is_empty() && made.len() <= max, "{} bytes", made.len());
            prop_assert_eq!(safe_name(&made, max), made.clone());
            prop_assert!(RelativePath::parse(&made).is_some());
            let joined = Path::new("root").join(&made);
            prop_assert_eq!(joined.parent(), Some(Path::new("root")));
        }

        #[test]
        fn hostile_names_become_safe_too(name in "[./\\\\ CONcon:~\u{202E}\u{301}é]{0,60}") {
            let made = safe(&name);
            prop_assert!(RelativePath::parse(&made).is_some(), "{made:?}");
        }
    }
}
