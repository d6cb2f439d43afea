//! The clients: owners, those who guess, devices that advance witnesses and store objects, readers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use getrandom::SysRng;
use getrandom::rand_core::{TryRng as _, UnwrapErr};
use heirloom_vault_api::{
    Code, Fixed, Identity, RecordStatus, SignIn, SignedIn, StatusRead, Token, Which, WitnessPut,
    WitnessRead, WitnessStatement, Witnessed,
};

use super::client::{Client, RIGHT, Said, WRONG};
use super::ledger::{Broken, Ledger, Lineage, Record, add};
use super::network::NODES;
use super::server::{Clock, Server};

/// Owners, each with somebody who guesses.
const OWNERS: usize = 12;
/// Lineages, each with two devices.
const LINEAGES: usize = 4;
/// So far the servers' clock goes at a time: over every back-off.
const LEAP_S: u64 = 25 * 3600;
const LEAP: Duration = Duration::from_secs(3);

/// SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }

    fn server(&mut self) -> usize {
        usize::try_from(self.roll(3)).unwrap_or(0)
    }
}

fn random<const N: usize>() -> Fixed<N> {
    let mut bytes = [0; N];
    let Ok(()) = UnwrapErr(SysRng).try_fill_bytes(&mut bytes);
    Fixed(bytes)
}

/// What all clients share.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) servers: &'a [Server],
    pub(super) identity: Identity,
    /// Who advances witnesses and stores objects.
    token: Token,
    /// Each owner's present record.
    present: Vec<Mutex<Option<Arc<Record>>>>,
    over: AtomicBool,
    seed: u64,
}

/// Names of lineages.
pub(super) fn lineages() -> Vec<Lineage> {
    (0..LINEAGES).map(|_| Lineage::new(random())).collect()
}

impl<'a> World<'a> {
    pub(super) fn new(ledger: &'a Ledger, servers: &'a [Server], seed: u64) -> Result<Self> {
        let first = servers.first().context("a server")?;
        let mut client = Client::new(0, first.address, None);
        let identity = client.identity()?;
        let invite = first.invite()?;
        let signed_in: Said<SignedIn> = client.post("/v1/accounts", &SignIn::by(Some(invite)));
        let token = signed_in.yes().context("an account")?.token;
        Ok(Self {
            ledger,
            servers,
            identity,
            token,
            present: (0..OWNERS).map(|_| Mutex::new(None)).collect(),
            over: AtomicBool::new(false),
            seed,
        })
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::SeqCst)
    }

    fn address(&self, server: usize) -> SocketAddr {
        self.servers
            .get(server % NODES)
            .map_or_else(|| SocketAddr::from(([127, 0, 0, 1], 1)), |one| one.address)
    }

    fn client(&self, server: usize, token: Option<&Token>) -> Client {
        let server = server % NODES;
        Client::new(server, self.address(server), token.map(Token::duplicate))
    }

    fn dice(&self, of: usize) -> Dice {
        Dice(
            self.seed
                .wrapping_mul(31)
                .wrapping_add(u64::try_from(of).unwrap_or(0)),
        )
    }

    /// Notes that nobody knows.
    fn heard<T>(&self, said: Said<T>) -> Said<T> {
        match &said {
            Said::Unknown => {
                add(&self.ledger.counts.unknown);
                pause(100);
            }
            Said::No(Code::Unavailable | Code::TooManyRequests) => pause(100),
            Said::No(_) | Said::Yes(_) => (),
        }
        said
    }

    fn wrote(&self, client: &Client) {
        self.ledger.service.served(client.server);
    }

    /// Starts everybody.
    pub(super) fn start<'scope, 'env>(
        &'env self,
        scope: &'scope std::thread::Scope<'scope, 'env>,
        clock: &'env Clock,
    ) {
        scope.spawn(|| self.clock(clock));
        for one in 0..OWNERS {
            scope.spawn(move || self.owner(one));
            scope.spawn(move || self.attacker(one));
        }
        for one in 0..LINEAGES * 2 {
            scope.spawn(move || self.device(one));
        }
        for server in 0..NODES {
            scope.spawn(move || self.objects(server));
            scope.spawn(move || self.reader(server));
        }
    }

    fn clock(&self, clock: &Clock) {
        let mut ahead = 0;
        while self.goes_on() {
            std::thread::sleep(LEAP);
            ahead += LEAP_S;
            // A leap that is not made makes waits longer, and nothing wrong.
            let _ = clock.set(ahead);
        }
    }

    /// An account with a record and a password. `None`: not everything was acknowledged.
    fn enrolled(&self, server: usize) -> Option<Arc<Record>> {
        let invite = self.servers.get(server)?.invite().ok()?;
        let mut client = self.client(server, None);
        let signed_in = client.post("/v1/accounts", &SignIn::by(Some(invite)));
        let SignedIn { account, token } = self.heard(signed_in).yes()?;
        client.token = Some(token.duplicate());
        let record = client.enrol(&self.identity).ok().flatten()?;
        self.wrote(&client);
        let record = Arc::new(Record::new(record, account, token));
        self.ledger.add_record(Arc::clone(&record));
        Some(record)
    }

    /// Comes back now and then with the right password; some of them seldom.
    fn owner(&self, one: usize) {
        let Some(present) = self.present.get(one) else {
            return;
        };
        let mut dice = self.dice(one);
        let is_seldom = one.is_multiple_of(3);
        while self.goes_on() {
            let record = present.lock().expect("no thread panics").clone();
            let Some(record) = record.filter(|record| !record.known().is_destroyed) else {
                let enrolled = self.enrolled(dice.server());
                if enrolled.is_none() {
                    pause(300);
                }
                *present.lock().expect("no thread panics") = enrolled;
                continue;
            };
            let wait = if is_seldom {
                8000 + dice.roll(15_000)
            } else {
                200 + dice.roll(1000)
            };
            let mut slept = 0;
            while slept < wait && self.goes_on() {
                pause(100);
                slept += 100;
            }
            // To one server: its sessions are its own.
            let mut client = self.client(dice.server(), Some(&record.token));
            self.come_back(&record, &mut client);
        }
    }

    fn come_back(&self, record: &Record, client: &mut Client) {
        let begun = record.begin();
        let guess = client.guess(record.name, Which::Active, RIGHT, &self.identity);
        let Ok(guess) = guess else {
            return;
        };
        let guess = match self.heard(guess) {
            Said::Yes(guess) => guess,
            Said::No(Code::Destroyed) => return record.destroyed(self.ledger),
            Said::No(_) | Said::Unknown => return,
        };
        record.answered(begun, self.ledger);
        self.wrote(client);
        record.proof_sent();
        match guess.prove(client, record.name) {
            Ok(Some(Said::Yes(proved))) => {
                record.proven(begun, proved.number, proved.log_length, self.ledger);
                self.wrote(client);
            }
            Ok(Some(Said::No(_)) | None) => record.proof_failed(false),
            Ok(Some(Said::Unknown)) => {
                add(&self.ledger.counts.unknown);
                record.proof_failed(true);
            }
            Err(_) => {
                self.ledger
                    .broken(Broken::NumberAgain, &record.name.to_text(), 1);
                record.proof_failed(true);
            }
        }
    }

    /// Guesses wrong, on any server, signed in or not; also at records that are destroyed.
    fn attacker(&self, one: usize) {
        let Some(present) = self.present.get(one) else {
            return;
        };
        let mut dice = self.dice(100 + one);
        let mut clients: Vec<Client> = (0..NODES).map(|server| self.client(server, None)).collect();
        while self.goes_on() {
            pause(20 + dice.roll(80));
            let mut record = present.lock().expect("no thread panics").clone();
            if dice.roll(12) == 0 {
                let all = self.ledger.records();
                let count = u64::try_from(all.len()).unwrap_or(0);
                let at = usize::try_from(dice.roll(count)).unwrap_or(0);
                record = all.get(at).cloned();
            }
            let (Some(record), Some(client)) = (record, clients.get_mut(dice.server())) else {
                continue;
            };
            client.token = (dice.roll(3) > 0).then(|| record.token.duplicate());
            let begun = record.begin();
            let guess = client.guess(record.name, Which::Active, WRONG, &self.identity);
            let Ok(guess) = guess else {
                continue;
            };
            if let Said::Yes(_) = self.heard(guess) {
                record.answered(begun, self.ledger);
                self.wrote(client);
            }
        }
    }

    fn witnessed(&self, client: &mut Client, lineage: &Lineage) -> Option<(u64, Fixed<32>)> {
        let least = lineage.newest();
        let nonce = random();
        let read = WitnessRead {
            lineage: lineage.name,
            nonce,
        };
        let said: Said<Witnessed> = client.post("/v1/witness/read", &read);
        let witnessed = self.heard(said).yes()?;
        add(&self.ledger.counts.reads);
        let statement = WitnessStatement {
            nonce: &nonce,
            witnessed: &witnessed,
        };
        let (sequence, head) = (witnessed.sequence, witnessed.head);
        let is_signed = statement.verify(&self.identity).is_ok();
        let served = is_signed.then_some((sequence, head));
        lineage.served(least, served, client.server, self.ledger);
        Some((sequence, head))
    }

    /// Two devices of each lineage, on two servers, race.
    fn device(&self, one: usize) {
        let Some(lineage) = self.ledger.lineages.get(one % LINEAGES) else {
            return;
        };
        let mut dice = self.dice(200 + one);
        let mut client = self.client(one, Some(&self.token));
        let mut at = None;
        while self.goes_on() {
            pause(10 + dice.roll(60));
            if dice.roll(200) == 0 {
                client = self.client(dice.server(), Some(&self.token));
            }
            let Some((sequence, head)) = at else {
                at = self.witnessed(&mut client, lineage);
                continue;
            };
            let next = WitnessPut {
                lineage: lineage.name,
                expected_sequence: sequence,
                expected_head: head,
                sequence: sequence + 1,
                head: random(),
                keyring_number: 1,
                keyring_hash: Fixed([1; 32]),
                record: None,
                nonce: random(),
            };
            let said: Said<Witnessed> = client.post("/v1/witness/advance", &next);
            at = self.heard(said).yes().map(|witnessed| {
                lineage.acknowledged(next.sequence, next.head, self.ledger);
                self.wrote(&client);
                (witnessed.sequence, witnessed.head)
            });
        }
    }

    /// Stores small objects; a name that was acknowledged is never acknowledged again.
    fn objects(&self, server: usize) {
        let mut dice = self.dice(300 + server);
        let mut client = self.client(server, Some(&self.token));
        let mut number = 0;
        while self.goes_on() {
            pause(20 + dice.roll(60));
            let again = number > 0 && dice.roll(10) == 0;
            let of = if again { dice.roll(number) } else { number };
            let name = format!("s{server}/{of}");
            let was_named = again && self.ledger.objects().contains(&name);
            match self.heard(client.put(&name, name.as_bytes())) {
                Said::Yes(_) if again && !was_named => self.ledger.named(&name),
                Said::Yes(_) => {
                    self.ledger.named(&name);
                    self.wrote(&client);
                    number += u64::from(!again);
                }
                // The one before whose answer was lost.
                Said::No(Code::Conflict) if !again => number += 1,
                Said::No(_) | Said::Unknown => (),
            }
        }
    }

    /// Asks one server for counters and heads: none may be older than what was acknowledged before.
    fn reader(&self, server: usize) {
        let mut dice = self.dice(400 + server);
        let mut client = self.client(server, None);
        while self.goes_on() {
            pause(20 + dice.roll(60));
            let all = self.present.iter().chain(&self.present);
            let at = usize::try_from(dice.roll(12)).unwrap_or(0);
            let record = all
                .skip(at)
                .find_map(|one| one.lock().expect("no thread panics").clone());
            if let Some(record) = record {
                client.token = Some(record.token.duplicate());
                self.status(&mut client, &record);
            }
            let lineage = usize::try_from(dice.roll(4)).unwrap_or(0);
            if let Some(lineage) = self.ledger.lineages.get(lineage) {
                client.token = Some(self.token.duplicate());
                self.witnessed(&mut client, lineage);
            }
        }
    }

    fn status(&self, client: &mut Client, record: &Record) {
        let least = record.log_at_least();
        let read = StatusRead {
            record: record.name,
        };
        let said: Said<RecordStatus> = client.post("/v1/records/status", &read);
        let Said::Yes(status) = self.heard(said) else {
            return;
        };
        add(&self.ledger.counts.reads);
        record.served(least, status.log_length, client.server, self.ledger);
    }
}

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
