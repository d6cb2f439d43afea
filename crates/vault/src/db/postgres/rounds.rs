//! Several operations side by side in one transaction: what each asks next is sent together, one way there and back
//! for all of them instead of one for each statement.
//!
//! An operation is a function that asks and has its answer. To find out what it asks next it runs again from its start,
//! with the answers that it had; it has no effect until it ended, and asks the same of the same answers.

use super::connection::{BARRIER, Told, Transaction};
use crate::db::{DbError, Job, Row, Sql, Value};

/// Questions of one operation, at most: beyond, it is run by itself.
const MOST: usize = 8;

/// Runs operations of different records until all of them ended.
pub(super) fn side_by_side(
    transaction: &mut Transaction<'_>,
    jobs: &[&Job],
) -> Result<(), DbError> {
    let mut sides: Vec<Side<'_>> = jobs.iter().map(|job| Side::new(job)).collect();
    while !sides.is_empty() {
        let mut asking = Vec::with_capacity(sides.len());
        let mut questions = Vec::with_capacity(sides.len());
        for mut side in sides {
            match side.go_on()? {
                Step::Asks(question) => {
                    questions.push(question);
                    asking.push(side);
                }
                Step::Ended(told) => {
                    for (text, values) in told {
                        transaction.tell(text, values)?;
                    }
                }
            }
        }
        let answers = transaction.ask_all(&questions)?;
        if answers.len() != questions.len() {
            return Err(DbError::Impossible);
        }
        for ((side, question), rows) in asking.iter_mut().zip(questions).zip(answers) {
            side.told += question.told.len();
            side.answered.push(Answered {
                text: question.text,
                values: question.values,
                rows,
            });
        }
        sides = asking;
    }
    Ok(())
}

/// What an operation asks, after what it told.
pub(super) struct Question {
    pub(super) told: Vec<Told>,
    pub(super) text: &'static str,
    pub(super) values: Vec<Value>,
}

struct Answered {
    text: &'static str,
    values: Vec<Value>,
    rows: Vec<Row>,
}

enum Step {
    Asks(Question),
    /// With what it told last.
    Ended(Vec<Told>),
}

/// One operation, as far as it came.
struct Side<'a> {
    job: &'a Job,
    answered: Vec<Answered>,
    /// How many of the statements that it told were sent.
    told: usize,
}

impl<'a> Side<'a> {
    fn new(job: &'a Job) -> Self {
        Self {
            job,
            answered: Vec::new(),
            told: 0,
        }
    }

    fn go_on(&mut self) -> Result<Step, DbError> {
        let mut again = Again {
            answers: self.answered.iter(),
            next: None,
            sent: self.told,
            told: Vec::new(),
            is_another: self.answered.len() >= MOST,
        };
        let ended = (self.job.work)(&mut again);
        let Again {
            next,
            told,
            is_another,
            ..
        } = again;
        if is_another {
            return Err(another());
        }
        match (next, ended) {
            (Some((text, values)), Err(_)) => Ok(Step::Asks(Question { told, text, values })),
            (None, Ok(())) => Ok(Step::Ended(told)),
            (None, Err(error)) => Err(error),
            // It went on without its answer.
            (Some(_), Ok(())) => Err(another()),
        }
    }
}

/// An operation's view: the answers that it had, up to the first that it had not.
struct Again<'a> {
    answers: std::slice::Iter<'a, Answered>,
    next: Option<(&'static str, Vec<Value>)>,
    /// Of what it tells, so many are not told again.
    sent: usize,
    told: Vec<Told>,
    /// It asked something else than before, or too much.
    is_another: bool,
}

impl Sql for Again<'_> {
    fn query(&mut self, text: &'static str, values: &[Value]) -> Result<Vec<Row>, DbError> {
        if self.next.is_some() || self.is_another {
            return Err(waits());
        }
        let Some(answered) = self.answers.next() else {
            self.next = Some((text, values.to_vec()));
            return Err(waits());
        };
        if answered.text != text || answered.values != values {
            self.is_another = true;
            return Err(another());
        }
        Ok(answered.rows.clone())
    }

    fn tell(&mut self, text: &'static str, values: Vec<Value>) -> Result<(), DbError> {
        if self.next.is_some() || self.is_another {
            return Err(waits());
        }
        match self.sent.checked_sub(1) {
            Some(left) => self.sent = left,
            None => self.told.push((text, values)),
        }
        Ok(())
    }

    fn barrier(&mut self) -> Result<(), DbError> {
        self.query(BARRIER, &[]).map(drop)
    }
}

fn waits() -> DbError {
    DbError::Engine("it waits for its answer".to_owned())
}

fn another() -> DbError {
    DbError::Engine("an operation asked something else of the same answers".to_owned())
}
