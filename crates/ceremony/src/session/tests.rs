mod authentication;
mod life;
mod registration;

use std::sync::mpsc;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::*;
use crate::ask::Purpose;
use crate::client::Client;
use crate::seal::Suite;
use crate::testing::{AAGUID, Fake, SYNCED, rng};

const INPUT: [u8; 32] = [5; 32];
const TIME: Duration = Duration::from_secs(20);

/// A session and the page in a thread of its own.
struct Opened {
    session: Session,
    page: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

fn opened(page: impl FnOnce(Page) + Send + 'static) -> Opened {
    opened_for([7; 16], TIME, page)
}

fn opened_for(
    repository: [u8; 16],
    timeout: Duration,
    page: impl FnOnce(Page) + Send + 'static,
) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        repository,
        backup_label: "a disk",
        folder: folder.path(),
        timeout,
        site: None,
    };
    let (send, receive) = mpsc::channel();
    let mut open = |path: &Path| send.send(path.to_owned()).map_err(io::Error::other);
    let session = Session::begin(&options, &mut open, &mut rng(3)).unwrap();
    let path = receive.recv().unwrap();
    let page = std::thread::spawn(move || {
        let client = Client::open(&path).unwrap();
        page(Page { client, seen: None });
    });
    Opened {
        session,
        page,
        _folder: folder,
    }
}

struct Page {
    client: Client,
    seen: Option<u64>,
}

impl Page {
    /// The next view of any kind.
    fn view(&mut self) -> Value {
        loop {
            if let Some(view) = self.client.next(self.seen).unwrap() {
                self.seen = view["number"].as_u64();
                return view;
            }
        }
    }

    /// The next step that asks something.
    fn step(&mut self) -> Value {
        loop {
            let view = self.view();
            if matches!(view["kind"].as_str(), Some("create" | "get")) {
                return view;
            }
        }
    }

    fn say(&mut self, message: &Value) {
        assert_eq!(self.client.answer(message).unwrap(), 204, "{message}");
    }

    fn create(&mut self, fake: &Fake) -> Value {
        let view = self.step();
        assert_eq!(view["kind"], "create");
        let message = fake.create(&view, &self.client);
        self.say(&message);
        view
    }

    fn get(&mut self, fake: &Fake) -> Value {
        let view = self.step();
        assert_eq!(view["kind"], "get");
        let message = fake.get(&view, &self.client);
        self.say(&message);
        view
    }

    fn fail(&mut self, name: &str) {
        let view = self.step();
        self.say(&json!({"kind": "failed", "step": view["number"], "name": name}));
    }
}

const fn ask(candidates: &[Known]) -> Ask<'_> {
    Ask {
        purpose: Purpose::Unlock,
        prf_input: &INPUT,
        candidates,
    }
}

const fn enrol(exclude: &[Known]) -> Enrol<'_> {
    Enrol {
        prf_input: &INPUT,
        exclude,
        user_name: "Unlocks your chat backup – don't delete",
        display_name: "Unlocks your chat backup – don't delete",
    }
}

/// What an authentication with `fake` comes to, where `known` is what was kept of it.
fn authenticated(fake: Fake, known: Known) -> Result<Answer, CeremonyError> {
    let mut opened = opened(move |mut page| {
        page.get(&fake);
    });
    let answer = opened.session.authenticate(&ask(&[known]), &mut rng(4));
    opened.page.join().unwrap();
    answer
}

/// The same for a fake that does not lie about its name.
fn refused(change: impl FnOnce(&mut Fake)) -> String {
    let mut fake = Fake::new(1);
    let known = fake.known();
    change(&mut fake);
    let error = authenticated(fake, known).unwrap_err();
    assert!(error.hint().is_some());
    error.to_string()
}

/// What a registration comes to.
fn registered(page: impl FnOnce(Page) + Send + 'static) -> Result<Registered, CeremonyError> {
    let mut opened = opened(page);
    let registered = opened.session.register(&enrol(&[]), &mut rng(4));
    opened.page.join().unwrap();
    registered
}

fn output_of(prf: heirloom_keys::PrfOutput) -> bool {
    heirloom_keys::HighEntropySecret::try_from(prf).is_ok()
}
