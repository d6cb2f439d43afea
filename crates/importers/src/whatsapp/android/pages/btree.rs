//! The pages of an `SQLite` file, read past `SQLite`: <https://sqlite.org/fileformat2.html>.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::{Leaf, PageHash};

/// Pages of a tree above the leaves; real ones have two or three levels.
const HEIGHT_MAX: usize = 12;
/// Read at once where pages follow one another.
const AHEAD_BYTES: usize = 128 * 1024;
const LEAF: u8 = 0x0D;
const INTERIOR: u8 = 0x05;
/// Behind that many bytes on one row, pages are not followed: then everything is read.
const OVERFLOW_MAX_PAGES: u64 = 1 << 16;

/// A database file as pages.
pub(super) struct Pages {
    file: File,
    key: [u8; 32],
    page_bytes: usize,
    /// What cells may use of a page.
    usable: usize,
    count: u32,
    utf8: bool,
    buffer: Vec<u8>,
    /// Pages that were read ahead, from which one on, and the last page that was read.
    ahead: Vec<u8>,
    ahead_from: u32,
    before: u32,
}

/// What is noted of the rows on a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// The first and the last: the rows of the table lie close together.
    Span,
    /// Each of them: there are few, far from one another.
    Rows,
    /// The values of this column.
    Column(usize),
}

impl Pages {
    /// `None`: not the header of a database.
    pub(super) fn open(path: &Path, key: &[u8; 32]) -> io::Result<Option<Self>> {
        let mut file = File::open(path)?;
        let mut header = [0; 100];
        if let Err(error) = file.read_exact(&mut header) {
            return if error.kind() == io::ErrorKind::UnexpectedEof {
                Ok(None)
            } else {
                Err(error)
            };
        }
        let page_bytes = match be16(&header, 16) {
            Some(1) => 65_536,
            Some(bytes) if bytes >= 512 && bytes.is_power_of_two() => bytes,
            _ => return Ok(None),
        };
        let usable = page_bytes - usize::from(header[20]);
        let whole = file.metadata()?.len() / u64::try_from(page_bytes).unwrap_or(u64::MAX);
        let Ok(count) = u32::try_from(whole) else {
            return Ok(None);
        };
        if usable < 480 {
            return Ok(None);
        }
        Ok(Some(Self {
            file,
            key: *key,
            page_bytes,
            usable,
            count,
            utf8: be32(&header, 56) == Some(1),
            buffer: vec![0; page_bytes],
            ahead: Vec::new(),
            ahead_from: 1,
            before: 0,
        }))
    }

    pub(super) fn page_bytes(&self) -> u32 {
        u32::try_from(self.page_bytes).unwrap_or(0)
    }

    /// Whether texts are UTF-8.
    pub(super) fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// Turns to a leaf; says how many rows it has, or `None` where it is no leaf.
    pub(super) fn turn_to_leaf(&mut self, number: u32) -> io::Result<Option<usize>> {
        let is_leaf = self.load(number)? && self.kind(number) == LEAF;
        Ok(is_leaf.then(|| self.cells(number)))
    }

    /// The leaves of the table at `root`, by their first row.
    ///
    /// `None`: the tree is not as it should be.
    pub(super) fn leaves(&mut self, root: u32, noted: Noted) -> io::Result<Option<Vec<Leaf>>> {
        let Some(mut numbers) = self.leaf_numbers(root)? else {
            return Ok(None);
        };
        // In the order of the file: most of it is read without a seek.
        numbers.sort_unstable();
        let mut leaves = Vec::with_capacity(numbers.len());
        for number in numbers {
            let Some(leaf) = self.leaf(number, noted)? else {
                return Ok(None);
            };
            // An empty page holds no row: nothing to say of it.
            leaves.extend(leaf);
        }
        leaves.sort_by_key(|leaf| leaf.first);
        Ok(Some(leaves))
    }

    /// The pages with the rows of the table at `root`, in the order of the rows. `None`: the tree is not as it should be.
    pub(super) fn leaf_numbers(&mut self, root: u32) -> io::Result<Option<Vec<u32>>> {
        // All leaves of a tree lie equally deep, so that only pages above them need to be read.
        let mut height = 0;
        let mut number = root;
        loop {
            if !self.load(number)? || height > HEIGHT_MAX {
                return Ok(None);
            }
            match self.kind(number) {
                LEAF => break,
                INTERIOR => {}
                _ => return Ok(None),
            }
            let Some(children) = self.children(number) else {
                return Ok(None);
            };
            let Some(first) = children.first() else {
                return Ok(None);
            };
            number = *first;
            height += 1;
        }
        let mut level = vec![root];
        for _ in 0..height {
            let mut below = Vec::new();
            for number in level {
                if !self.load(number)? || self.kind(number) != INTERIOR {
                    return Ok(None);
                }
                let Some(children) = self.children(number) else {
                    return Ok(None);
                };
                below.extend(children);
                // A page has one parent; more pages than the file has is a circle.
                if below.len() > usize::try_from(self.count).unwrap_or(usize::MAX) {
                    return Ok(None);
                }
            }
            level = below;
        }
        Ok(Some(level))
    }

    /// Hashes a leaf and what hangs on it; the buffer may hold another page then. `Some(None)`: a leaf without rows.
    #[expect(
        clippy::option_option,
        reason = "broken, empty, and with rows are three answers"
    )]
    pub(super) fn leaf(&mut self, number: u32, noted: Noted) -> io::Result<Option<Option<Leaf>>> {
        if !self.load(number)? || self.kind(number) != LEAF {
            return Ok(None);
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&self.buffer);
        let mut leaf = Leaf {
            first: i64::MAX,
            last: i64::MIN,
            hash: PageHash::default(),
            links: Vec::new(),
        };
        let mut overflow = Vec::new();
        for index in 0..self.cells(number) {
            let Some(cell) = self.cell(number, index) else {
                return Ok(None);
            };
            leaf.first = leaf.first.min(cell.row);
            leaf.last = leaf.last.max(cell.row);
            match noted {
                Noted::Span => {}
                Noted::Rows => leaf.links.push(cell.row),
                Noted::Column(column) => match cell.integer(column) {
                    Ok(Some(value)) => leaf.links.push(value),
                    Ok(None) => {}
                    Err(Unreadable) => return Ok(None),
                },
            }
            if let Some(first) = cell.overflow {
                overflow.push((first, cell.beyond));
            }
        }
        if leaf.first > leaf.last {
            return Ok(Some(None));
        }
        for (first, bytes) in overflow {
            if !self.hash_overflow(first, bytes, &mut hasher)? {
                return Ok(None);
            }
        }
        leaf.hash = super::short(&hasher);
        leaf.links.sort_unstable();
        leaf.links.dedup();
        Ok(Some(Some(leaf)))
    }

    /// A long text hangs on its page as a chain. An edit may change the chain alone.
    fn hash_overflow(
        &mut self,
        first: u32,
        bytes: u64,
        hasher: &mut blake3::Hasher,
    ) -> io::Result<bool> {
        let a_page = u64::try_from(self.usable - 4).unwrap_or(1);
        let pages = bytes.div_ceil(a_page);
        if pages > OVERFLOW_MAX_PAGES {
            return Ok(false);
        }
        let mut number = first;
        for _ in 0..pages {
            if number == 0 || !self.load(number)? {
                return Ok(false);
            }
            hasher.update(&self.buffer);
            number = be32(&self.buffer, 0).unwrap_or(0);
        }
        Ok(true)
    }

    /// Reads a page into the buffer; `false` where the file has none of that number.
    fn load(&mut self, number: u32) -> io::Result<bool> {
        if number == 0 || number > self.count {
            return Ok(false);
        }
        // Pages of one table mostly lie behind one another: they are read many at a time.
        let here = number.checked_sub(self.ahead_from);
        let at = here.and_then(|here| usize::try_from(here).ok()?.checked_mul(self.page_bytes));
        let held = at.and_then(|at| self.ahead.get(at..at.checked_add(self.page_bytes)?));
        if let Some(page) = held {
            self.buffer.copy_from_slice(page);
            return Ok(true);
        }
        let jumped = number != self.before.wrapping_add(1);
        self.before = number;
        let pages = if jumped {
            1
        } else {
            AHEAD_BYTES / self.page_bytes
        };
        let left = usize::try_from(self.count - number + 1).unwrap_or(1);
        let at = u64::from(number - 1) * u64::try_from(self.page_bytes).unwrap_or(0);
        self.file.seek(SeekFrom::Start(at))?;
        self.ahead_from = number;
        self.ahead.resize(pages.clamp(1, left) * self.page_bytes, 0);
        if let Err(error) = self.file.read_exact(&mut self.ahead) {
            self.ahead.clear();
            return Err(error);
        }
        self.before = number + u32::try_from(pages.clamp(1, left)).unwrap_or(1) - 1;
        self.buffer.copy_from_slice(&self.ahead[..self.page_bytes]);
        Ok(true)
    }

    /// Where the page's own header begins: page 1 has the file's before it.
    fn header_at(number: u32) -> usize {
        if number == 1 { 100 } else { 0 }
    }

    fn kind(&self, number: u32) -> u8 {
        self.buffer[Self::header_at(number)]
    }

    fn cells(&self, number: u32) -> usize {
        be16(&self.buffer, Self::header_at(number) + 3).unwrap_or(0)
    }

    fn children(&self, number: u32) -> Option<Vec<u32>> {
        let header = Self::header_at(number);
        let mut children = Vec::with_capacity(self.cells(number) + 1);
        for index in 0..self.cells(number) {
            let at = be16(&self.buffer, header + 12 + 2 * index)?;
            children.push(be32(&self.buffer, at)?);
        }
        children.push(be32(&self.buffer, header + 8)?);
        Some(children)
    }

    /// A row of the page in the buffer.
    pub(super) fn cell(&self, number: u32, index: usize) -> Option<Cell<'_>> {
        let at = be16(&self.buffer, Self::header_at(number) + 8 + 2 * index)?;
        let (payload_bytes, at) = varint(&self.buffer, at)?;
        let (row, at) = varint(&self.buffer, at)?;
        let all = usize::try_from(payload_bytes).ok()?;
        let most = self.usable - 35;
        let local = if all <= most {
            all
        } else {
            let least = (self.usable - 12) * 32 / 255 - 23;
            let fill = least + (all - least) % (self.usable - 4);
            if fill <= most { fill } else { least }
        };
        let payload = self.buffer.get(at..at + local)?;
        let overflow = if local < all {
            Some(be32(&self.buffer, at + local)?)
        } else {
            None
        };
        let beyond = u64::try_from(all - local).ok()?;
        Some(Cell {
            row: i64::from_ne_bytes(row.to_ne_bytes()),
            payload,
            overflow,
            beyond,
        })
    }
}

/// One row.
pub(super) struct Cell<'p> {
    pub(super) row: i64,
    /// What lies on the page itself.
    pub(super) payload: &'p [u8],
    /// The page where it goes on.
    pub(super) overflow: Option<u32>,
    /// How many bytes lie there and behind.
    pub(super) beyond: u64,
}

/// A record that is not as it should be, or whose value lies beyond the page.
struct Unreadable;

impl Cell<'_> {
    /// The whole number in a column; `None` for what is none.
    fn integer(&self, column: usize) -> Result<Option<i64>, Unreadable> {
        let (header_bytes, mut at) = varint(self.payload, 0).ok_or(Unreadable)?;
        let header_bytes = usize::try_from(header_bytes).map_err(|_| Unreadable)?;
        let mut value_at = header_bytes;
        for place in 0.. {
            if at >= header_bytes {
                // Rows from before the column was added.
                return Ok(None);
            }
            let (kind, next) = varint(self.payload, at).ok_or(Unreadable)?;
            at = next;
            let bytes = match kind {
                0 | 8 | 9 => 0,
                1..=4 => usize::try_from(kind).map_err(|_| Unreadable)?,
                5 => 6,
                6 | 7 => 8,
                10 | 11 => return Err(Unreadable),
                _ => usize::try_from((kind - 12) / 2).map_err(|_| Unreadable)?,
            };
            if place < column {
                value_at = value_at.checked_add(bytes).ok_or(Unreadable)?;
                continue;
            }
            return match kind {
                8 => Ok(Some(0)),
                9 => Ok(Some(1)),
                1..=6 => {
                    let value = self
                        .payload
                        .get(value_at..value_at + bytes)
                        .ok_or(Unreadable)?;
                    let sign = if value[0] & 0x80 == 0 { 0 } else { 0xFF };
                    let mut wide = [sign; 8];
                    wide[8 - bytes..].copy_from_slice(value);
                    Ok(Some(i64::from_be_bytes(wide)))
                }
                _ => Ok(None),
            };
        }
        Ok(None)
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    let pair = bytes.get(at..at + 2)?;
    Some(usize::from(pair[0]) << 8 | usize::from(pair[1]))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// `SQLite`'s varint: up to eight times seven bits, then eight. Gives the place behind it, too.
#[inline]
pub(super) fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for index in 0..8 {
        let byte = *bytes.get(at + index)?;
        value = value << 7 | u64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return Some((value, at + index + 1));
        }
    }
    Some((value << 8 | u64::from(*bytes.get(at + 8)?), at + 9))
}
