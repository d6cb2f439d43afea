//! Media back into files: in the order in which they lie in the packs, by workers, each pack read once.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use heirloom_archive::form::{AttachmentFile, is_there};
use heirloom_archive::paths::RelativePath;

use super::RestoreOutcome;
use crate::error::{Damage, EngineError};
use crate::format::PIECE_BYTES;
use crate::format::index::Row;
use crate::ids::ChunkId;
use crate::progress::{Amount, Phase, Progress};
use crate::repository::View;

/// Pieces of one file that are put together in memory at most; larger files are written piece by piece.
const WORKERS: usize = 2;
/// Ranges of one pack that lie so near each other are read together.
const GAP_BYTES: u64 = 256 * 1024;
/// One read at most.
const READ_BYTES: u64 = 4 * 1024 * 1024;

/// The media that a restore wants.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    contents: Vec<Content>,
    by_key: HashMap<[u8; 32], usize>,
    /// Attachments that are in the backup and were not asked for.
    pub(super) unwanted: u64,
}

#[derive(Debug)]
struct Content {
    encoded: Vec<u8>,
    bytes: u64,
    paths: Vec<RelativePath>,
    /// How many attachments refer to it, under whatever name.
    attachments: u64,
}

impl Wanted {
    /// Adds what another part of the restore wants.
    pub(super) fn take(&mut self, other: Self) {
        let keys: HashMap<usize, [u8; 32]> = other
            .by_key
            .into_iter()
            .map(|(key, at)| (at, key))
            .collect();
        for (at, content) in other.contents.into_iter().enumerate() {
            let Some(key) = keys.get(&at) else { continue };
            let Content {
                encoded,
                bytes,
                paths,
                attachments,
            } = content;
            let Some(first) = paths.first().cloned() else {
                continue;
            };
            self.add(first, *key, &encoded, bytes);
            let known = self
                .by_key
                .get(key)
                .and_then(|at| self.contents.get_mut(*at));
            if let Some(known) = known {
                // `add` counted one of them.
                known.attachments += attachments - 1;
                known.paths.extend(paths.into_iter().skip(1));
            }
        }
        self.unwanted += other.unwanted;
    }

    pub(super) fn add(&mut self, path: RelativePath, key: [u8; 32], encoded: &[u8], bytes: u64) {
        let contents = &mut self.contents;
        let at = *self.by_key.entry(key).or_insert_with(|| {
            contents.push(Content {
                encoded: encoded.to_vec(),
                bytes,
                paths: Vec::new(),
                attachments: 0,
            });
            contents.len() - 1
        });
        let content = &mut self.contents[at];
        content.attachments += 1;
        if content.paths.last() != Some(&path) && !content.paths.contains(&path) {
            content.paths.push(path);
        }
    }
}

/// A file that is being put together.
struct Open<'a> {
    content: &'a Content,
    state: Mutex<State>,
}

enum State {
    Waiting { pieces: usize },
    Writing { file: AttachmentFile, left: usize },
    Done,
    Failed(String),
}

struct Task {
    row: Row,
    id: ChunkId,
    /// Which files, and where in them: one piece may stand in several.
    places: Vec<(usize, u64)>,
}

pub(super) fn restore(
    view: &View,
    dir: &Path,
    wanted: Wanted,
    outcome: &mut RestoreOutcome,
    progress: &dyn Progress,
) -> Result<(), EngineError> {
    let Wanted {
        contents,
        by_key,
        unwanted: _,
    } = wanted;
    drop(by_key);
    let total = Amount {
        items: contents.iter().map(|content| content.attachments).sum(),
        bytes: contents.iter().map(|content| content.bytes).sum(),
    };
    progress.phase(Phase::RestoringMedia, Some(total));
    // What was read ahead for the messages is in the way now.
    view.repository().fetcher.forget();
    let mut files: Vec<Open<'_>> = Vec::with_capacity(contents.len());
    let mut tasks: HashMap<ChunkId, Task> = HashMap::new();
    for content in &contents {
        let at = files.len();
        let there = content
            .paths
            .first()
            .is_some_and(|path| is_there(dir, path, content.bytes));
        let state = if there {
            Ok(State::Done)
        } else {
            plan(view, content, at, &mut tasks)
        };
        files.push(Open {
            content,
            state: Mutex::new(state.unwrap_or_else(|error| State::Failed(error.to_string()))),
        });
    }
    let mut by_pack: BTreeMap<u32, Vec<Task>> = BTreeMap::new();
    for (_, task) in tasks {
        by_pack.entry(task.row.pack).or_default().push(task);
    }
    let packs: Vec<Vec<Task>> = by_pack
        .into_values()
        .map(|mut tasks| {
            tasks.sort_by_key(|task| task.row.offset);
            tasks
        })
        .collect();
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<EngineError>> = Mutex::new(None);
    let work = || {
        let mut buffer = Buffer::default();
        while let Some(tasks) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            for at in 0..tasks.len() {
                if progress.interrupted() {
                    set(&failed, EngineError::Interrupted);
                }
                if is_set(&failed) {
                    return;
                }
                if let Err(error) =
                    restore_piece(view, dir, &files, tasks, at, &mut buffer, progress)
                {
                    set(&failed, error);
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..WORKERS {
            scope.spawn(work);
        }
        work();
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    finish(dir, files, outcome, progress)
}

fn plan(
    view: &View,
    content: &Content,
    at: usize,
    tasks: &mut HashMap<ChunkId, Task>,
) -> Result<State, EngineError> {
    let (_, pieces) = view.pieces(&content.encoded)?;
    let index = &view.repository().index;
    let missing = || EngineError::damaged("a piece of it", Damage::Missing);
    let mut rows = Vec::with_capacity(pieces.len());
    for id in &pieces {
        rows.push(*index.row(&id.short()).ok_or_else(missing)?);
    }
    let mut offset = 0;
    for (id, row) in pieces.iter().zip(rows) {
        let task = tasks.entry(*id).or_insert_with(|| Task {
            row,
            id: *id,
            places: Vec::new(),
        });
        task.places.push((at, offset));
        offset += u64::try_from(PIECE_BYTES).expect("fits");
    }
    Ok(State::Waiting {
        pieces: pieces.len(),
    })
}

/// What a worker has read of a pack.
#[derive(Default)]
struct Buffer {
    pack: Option<u32>,
    start: u64,
    bytes: Vec<u8>,
    piece: Vec<u8>,
}

impl Buffer {
    fn holds(&self, pack: u32, offset: u64, len: u64) -> Option<std::ops::Range<usize>> {
        if self.pack != Some(pack) {
            return None;
        }
        let start = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        (end <= self.bytes.len()).then_some(start..end)
    }
}

fn restore_piece(
    view: &View,
    dir: &Path,
    files: &[Open<'_>],
    tasks: &[Task],
    at: usize,
    buffer: &mut Buffer,
    progress: &dyn Progress,
) -> Result<(), EngineError> {
    let task = &tasks[at];
    let repository = view.repository();
    let (offset, len) = (u64::from(task.row.offset), u64::from(task.row.sealed_len));
    let whole_here = repository.whole_in_pack(&task.row);
    let read = if whole_here {
        if buffer.holds(task.row.pack, offset, len).is_none() {
            let end = last_near(tasks, at, repository);
            read_into(repository, task.row.pack, offset, end, buffer)
        } else {
            Ok(())
        }
    } else {
        Ok(())
    };
    let opened = read.and_then(|()| {
        match buffer
            .holds(task.row.pack, offset, len)
            .filter(|_| whole_here)
        {
            Some(range) => {
                buffer.piece.clear();
                let Buffer { bytes, piece, .. } = buffer;
                piece.extend_from_slice(&bytes[range]);
                repository.open_row(&task.row, &task.id, piece)
            }
            None => repository.chunk(&task.id),
        }
    });
    let plain = match opened {
        Ok(plain) => plain,
        Err(error @ (EngineError::Damaged { .. } | EngineError::KeyMissing { .. })) => {
            for (file, _) in &task.places {
                *lock(&files[*file].state) = State::Failed(error.to_string());
            }
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for (file, offset) in &task.places {
        write_piece(dir, &files[*file], *offset, &plain)?;
    }
    progress.advance(
        Phase::RestoringMedia,
        0,
        u64::try_from(plain.len()).unwrap_or(0),
    );
    Ok(())
}

/// The end of the range that begins with this task and holds those behind it that lie near.
fn last_near(tasks: &[Task], at: usize, repository: &crate::repository::Repository) -> u64 {
    let start = u64::from(tasks[at].row.offset);
    let mut end = start + u64::from(tasks[at].row.sealed_len);
    for task in &tasks[at + 1..] {
        let (next, len) = (u64::from(task.row.offset), u64::from(task.row.sealed_len));
        if next > end + GAP_BYTES
            || next + len - start > READ_BYTES
            || !repository.whole_in_pack(&task.row)
        {
            break;
        }
        end = end.max(next + len);
    }
    end
}

fn read_into(
    repository: &crate::repository::Repository,
    pack: u32,
    offset: u64,
    end: u64,
    buffer: &mut Buffer,
) -> Result<(), EngineError> {
    // What was read before goes first: two of them would double what a worker needs.
    buffer.pack = None;
    buffer.bytes = Vec::new();
    let (start, bytes) = repository.pack_range(pack, offset, end)?;
    *buffer = Buffer {
        pack: Some(pack),
        start,
        bytes,
        piece: std::mem::take(&mut buffer.piece),
    };
    Ok(())
}

fn write_piece(dir: &Path, open: &Open<'_>, offset: u64, plain: &[u8]) -> Result<(), EngineError> {
    let local = |source: std::io::Error| EngineError::Local {
        path: dir.display().to_string(),
        source,
    };
    let mut state = lock(&open.state);
    if let State::Waiting { pieces } = *state {
        let Some(path) = open.content.paths.first() else {
            return Ok(());
        };
        *state = State::Writing {
            file: AttachmentFile::create(dir, path).map_err(local)?,
            left: pieces,
        };
    }
    let complete = match &mut *state {
        State::Writing { file, left } => {
            write_at(file.file(), plain, offset).map_err(local)?;
            *left -= 1;
            *left == 0
        }
        State::Waiting { .. } | State::Done | State::Failed(_) => false,
    };
    if complete && let State::Writing { file, .. } = std::mem::replace(&mut *state, State::Done) {
        file.finish().map_err(local)?;
    }
    Ok(())
}

#[cfg(unix)]
fn write_at(file: &std::fs::File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_at(mut file: &std::fs::File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    use std::io::{Seek as _, SeekFrom, Write as _};
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// Empty files, copies under other names, and what is to be said of failures.
fn finish(
    dir: &Path,
    files: Vec<Open<'_>>,
    outcome: &mut RestoreOutcome,
    progress: &dyn Progress,
) -> Result<(), EngineError> {
    let local = |source: std::io::Error| EngineError::Local {
        path: dir.display().to_string(),
        source,
    };
    for Open { content, state } in files {
        let Some(first) = content.paths.first() else {
            continue;
        };
        match state.into_inner().unwrap_or_else(PoisonError::into_inner) {
            State::Waiting { pieces: 0 } => AttachmentFile::create(dir, first)
                .and_then(AttachmentFile::finish)
                .map_err(local)?,
            State::Done => {}
            State::Waiting { .. } | State::Writing { .. } => return Err(EngineError::Interrupted),
            State::Failed(why) => {
                outcome.missing += content.attachments;
                outcome.problems.push(format!("{}: {why}", first.as_str()));
                continue;
            }
        }
        for other in &content.paths[1..] {
            if progress.interrupted() {
                return Err(EngineError::Interrupted);
            }
            if is_there(dir, other, content.bytes) {
                continue;
            }
            let copy = AttachmentFile::create(dir, other).map_err(local)?;
            let mut from = std::fs::File::open(first.below(dir)).map_err(local)?;
            std::io::copy(&mut from, &mut copy.file()).map_err(local)?;
            copy.finish().map_err(local)?;
        }
        outcome.attachments += content.attachments;
        outcome.bytes += content.bytes;
        progress.advance(Phase::RestoringMedia, content.attachments, 0);
    }
    Ok(())
}

fn set(failed: &Mutex<Option<EngineError>>, error: EngineError) {
    lock(failed).get_or_insert(error);
}

fn is_set(failed: &Mutex<Option<EngineError>>) -> bool {
    lock(failed).is_some()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
