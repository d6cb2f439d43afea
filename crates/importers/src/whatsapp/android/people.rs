//! Who is who: ids, names, and the two ids that one person may have.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use heirloom_archive::{Participant, Sink, SourceError};
use rusqlite::Statement;

use super::OWNER;
use super::kinds::phone_of;
use super::rows::ByRow;
use crate::sqlite::{Database, Values};

/// Ids that are kept in memory; a file with more is asked for each.
const JIDS_MAX: i64 = 200_000;
const CONTACTS_MAX: usize = 200_000;

/// The names in the phone's `wa.db`.
#[derive(Debug, Default)]
pub(super) struct Names {
    of: HashMap<String, String>,
    pub(super) problems: Vec<String>,
}

impl Names {
    /// Reads the names, or says in `problems` why there are none: chats are worth having without them.
    pub(super) fn read(path: Option<&Path>) -> Self {
        let mut names = Self::default();
        let Some(path) = path else { return names };
        if let Err(error) = names.fill(path) {
            names
                .problems
                .push(format!("the contacts' names cannot be read: {error}"));
        }
        names
    }

    fn fill(&mut self, path: &Path) -> Result<(), SourceError> {
        let database = Database::open(path)?;
        let sql =
            database
                .schema
                .select("wa_contacts", "jid", &["display_name", "wa_name", "number"]);
        let Some(sql) = sql else { return Ok(()) };
        let failed = |error| database.failure(error);
        let mut query = database.connection.prepare(&sql).map_err(failed)?;
        let mut rows = query.query([]).map_err(failed)?;
        let mut values = Values::default();
        while let Some(row) = rows.next().map_err(failed)? {
            let name = (1..3)
                .map(|column| values.text(row, column))
                .find(|name| !name.is_empty());
            if let Some(name) = name {
                self.of.insert(values.text(row, 0), name);
            }
            if self.of.len() >= CONTACTS_MAX {
                self.problems.push(format!(
                    "only {CONTACTS_MAX} contacts were given their names"
                ));
                break;
            }
        }
        Ok(())
    }

    pub(super) fn of(&self, jid: &str) -> Option<&str> {
        self.of.get(jid).map(String::as_str)
    }
}

/// The people of one database.
pub(super) struct People<'d> {
    database: &'d Database,
    names: &'d Names,
    /// Row of `jid` to its text.
    jids: HashMap<i64, Arc<str>>,
    /// For files with too many ids to keep: one of them at a time.
    one: Option<Statement<'d>>,
    /// A `…@lid` to the phone's id of the same person, and back.
    phone_of_lid: HashMap<i64, i64>,
    lids_of_phone: HashMap<i64, Vec<i64>>,
    lid_names: HashMap<i64, String>,
    /// Who was given to the sink, by row.
    given: ByRow<Arc<str>>,
}

impl<'d> People<'d> {
    pub(super) fn read(database: &'d Database, names: &'d Names) -> Result<Self, SourceError> {
        let mut people = Self {
            database,
            names,
            jids: HashMap::new(),
            one: None,
            phone_of_lid: HashMap::new(),
            lids_of_phone: HashMap::new(),
            lid_names: HashMap::new(),
            given: ByRow::default(),
        };
        people.fill().map_err(|error| database.failure(error))?;
        Ok(people)
    }

    fn fill(&mut self) -> rusqlite::Result<()> {
        let Database {
            connection, schema, ..
        } = self.database;
        let mut values = Values::default();
        if let Some(sql) = schema.select("jid", "_id", &["raw_string", "user", "server"]) {
            let count: i64 =
                connection.query_row("SELECT count(*) FROM jid", [], |row| row.get(0))?;
            if count > JIDS_MAX {
                self.one = Some(connection.prepare(&format!("{sql} WHERE t._id = ?1"))?);
            } else {
                let mut query = connection.prepare(&sql)?;
                let mut rows = query.query([])?;
                while let Some(row) = rows.next()? {
                    if let Some(jid) = jid_text(&mut values, row) {
                        self.jids.insert(Values::number(row, 0), jid);
                    }
                }
            }
        }
        if let Some(sql) = schema.select("jid_map", "lid_row_id", &["jid_row_id"]) {
            let mut query = connection.prepare(&format!("{sql} ORDER BY 1"))?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                let (lid, phone) = (Values::number(row, 0), Values::number(row, 1));
                if phone > 0 && lid != phone && self.phone_of_lid.insert(lid, phone).is_none() {
                    self.lids_of_phone.entry(phone).or_default().push(lid);
                }
            }
        }
        if let Some(sql) = schema.select(
            "lid_display_name",
            "lid_row_id",
            &["display_name", "username"],
        ) {
            let mut query = connection.prepare(&sql)?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                let name = (1..3)
                    .map(|column| values.text(row, column))
                    .find(|name| !name.is_empty());
                if let Some(name) = name {
                    self.lid_names.insert(Values::number(row, 0), name);
                }
            }
        }
        Ok(())
    }

    /// The text of a `jid` row.
    pub(super) fn jid(&mut self, row: i64) -> Result<Option<Arc<str>>, SourceError> {
        if let Some(jid) = self.jids.get(&row) {
            return Ok(Some(Arc::clone(jid)));
        }
        let Some(one) = &mut self.one else {
            return Ok(None);
        };
        let mut values = Values::default();
        let failed = |error| self.database.failure(error);
        let mut rows = one.query([row]).map_err(failed)?;
        let found = rows
            .next()
            .map_err(failed)?
            .and_then(|found| jid_text(&mut values, found));
        if let Some(found) = &found {
            if self.jids.len() >= usize::try_from(JIDS_MAX / 2).unwrap_or(0) {
                self.jids.clear();
            }
            self.jids.insert(row, Arc::clone(found));
        }
        Ok(found)
    }

    /// The id that stands for the person of a `jid` row: the phone's where it is known.
    pub(super) fn id_of(&mut self, row: i64) -> Result<Option<Arc<str>>, SourceError> {
        if let Some(phone) = self.phone_of_lid.get(&row).copied()
            && let Some(id) = self.jid(phone)?
        {
            return Ok(Some(id));
        }
        self.jid(row)
    }

    /// As [`Self::id_of`]; gives the person to the sink the first time.
    pub(super) fn person(
        &mut self,
        row: i64,
        sink: &mut dyn Sink,
    ) -> Result<Option<Arc<str>>, SourceError> {
        if row <= 0 {
            return Ok(None);
        }
        if let Some(id) = self.given.get(row) {
            return Ok(Some(Arc::clone(id)));
        }
        let Some(id) = self.id_of(row)? else {
            return Ok(None);
        };
        let mapped = self.phone_of_lid.get(&row).copied();
        // A row that leads to nothing is a person of its own.
        let main = match mapped {
            Some(phone) if self.jid(phone)?.is_some() => phone,
            _ => row,
        };
        if self.given.get(main).is_none() {
            let participant = self.describe(main, &id)?;
            sink.participant(participant)?;
            if self.given.len() >= usize::try_from(JIDS_MAX).unwrap_or(0) {
                self.given.clear();
            }
            self.given.insert(main, Arc::clone(&id));
        }
        self.given.insert(row, Arc::clone(&id));
        Ok(Some(id))
    }

    /// Gives the owner, and everybody who has a name, to the sink.
    pub(super) fn give_named(&mut self, sink: &mut dyn Sink) -> Result<(), SourceError> {
        sink.participant(owner())?;
        let mut rows: Vec<i64> = self
            .jids
            .iter()
            .filter(|(row, jid)| self.names.of(jid).is_some() || self.lid_names.contains_key(row))
            .map(|(row, _)| *row)
            .collect();
        rows.sort_unstable();
        for row in rows {
            self.person(row, sink)?;
        }
        Ok(())
    }

    /// A person's name as far as anybody knows it.
    pub(super) fn name_of(&mut self, row: i64) -> Result<Option<String>, SourceError> {
        let row = self.phone_of_lid.get(&row).copied().unwrap_or(row);
        if let Some(jid) = self.jid(row)?
            && let Some(name) = self.names.of(&jid)
        {
            return Ok(Some(name.to_owned()));
        }
        let lids = self.lids_of_phone.get(&row).into_iter().flatten().copied();
        Ok(std::iter::once(row)
            .chain(lids)
            .find_map(|lid| self.lid_names.get(&lid).cloned()))
    }

    fn describe(&mut self, row: i64, id: &str) -> Result<Participant, SourceError> {
        let lids = self.lids_of_phone.get(&row).cloned().unwrap_or_default();
        let mut aliases = Vec::new();
        for lid in lids {
            aliases.extend(
                self.jid(lid)?
                    .map(|alias| alias.to_string())
                    .filter(|alias| alias != id),
            );
        }
        Ok(Participant {
            id: id.to_owned(),
            name: self.name_of(row)?.unwrap_or_default(),
            phone: phone_of(id).unwrap_or_default(),
            is_owner: false,
            aliases,
        })
    }
}

/// The person whose phone it is. The database does not say their number.
pub(super) fn owner() -> Participant {
    Participant {
        id: OWNER.to_owned(),
        is_owner: true,
        ..Participant::default()
    }
}

fn jid_text(values: &mut Values, row: &rusqlite::Row<'_>) -> Option<Arc<str>> {
    let raw = values.text(row, 1);
    if !raw.is_empty() {
        return Some(raw.into());
    }
    let (user, server) = (values.text(row, 2), values.text(row, 3));
    (!server.is_empty()).then(|| format!("{user}@{server}").into())
}
