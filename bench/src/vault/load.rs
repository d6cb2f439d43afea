//! Many people at once, each with a connection and an account of their own.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use heirloom_vault_api::Which;

use super::client::{Client, Person};
use super::server::Process;
use crate::machine;

/// What they saw.
pub(super) struct Load {
    pub(super) times: Vec<Duration>,
    /// Seconds on the wall.
    pub(super) took: f64,
    /// Seconds of the processor that the clients used.
    pub(super) cpu: f64,
    /// Of the server, at the start, in the middle and at the end.
    pub(super) memory: [u64; 3],
}

impl Load {
    pub(super) fn count(&self) -> f64 {
        f64::from(u32::try_from(self.times.len()).unwrap_or(u32::MAX))
    }

    /// Unlocks with `clients` of `people`, again and again.
    pub(super) fn run(
        process: &Process,
        people: &[Person],
        clients: usize,
        time: Duration,
    ) -> Result<Self> {
        let mut connected = Vec::new();
        for person in people.iter().take(clients) {
            connected.push((Client::of(process.address, person)?, person.record));
        }
        let before = machine::seconds(std::process::id())?;
        let start = process.memory()?;
        let begun = Instant::now();
        let (times, middle) = std::thread::scope(|scope| -> Result<_> {
            let mut threads = Vec::new();
            for (mut client, record) in connected {
                threads.push(scope.spawn(move || -> Result<Vec<Duration>> {
                    let mut times = Vec::new();
                    while begun.elapsed() < time {
                        let one = Instant::now();
                        client.unlock(record, Which::Active)?;
                        times.push(one.elapsed());
                    }
                    Ok(times)
                }));
            }
            std::thread::sleep(time / 2);
            let middle = process.memory()?;
            let mut all = Vec::new();
            for thread in threads {
                all.extend(thread.join().ok().context("a client")??);
            }
            Ok((all, middle))
        })?;
        Ok(Self {
            times,
            took: begun.elapsed().as_secs_f64(),
            cpu: machine::seconds(std::process::id())? - before,
            memory: [start, middle, process.memory()?],
        })
    }
}
