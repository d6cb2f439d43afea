//! The browser in which a passkey is asked for: how it is opened, and the page of one session.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use heirloom_ceremony::{
    Answer, Ask, CeremonyError, Elsewhere, Ending, Enrol, Known, Options, Purpose, Registered,
    Session, Site,
};
use heirloom_keys::{LockedKeyring, Passkey};
use serde::Serialize;

use crate::args::shared::{Browser, Unlock, Via};
use crate::atomic;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::{AtOnce, Interrupt};
use crate::output::events::Event;
use crate::server::ceremony;
use crate::{keys, words};

pub(crate) mod scan;

/// What most password managers show beside a passkey: read on the day it might be deleted.
const USER_NAME: &str = "Unlocks your chat backup – don't delete";

/// No page waits so long to be opened.
const LEFT_BEHIND: Duration = Duration::from_hours(1);

/// A page, open in a browser of this computer or on another device, until it is ended.
#[derive(Debug)]
pub(crate) struct Page {
    session: Session,
    prf_input: [u8; 32],
    interrupt: Interrupt,
    /// The file that the browser was told to open.
    opening: Option<PathBuf>,
    /// On another device: the server is told when nobody waits for it any more.
    is_elsewhere: bool,
}

/// Whether passkeys of a server are asked for in a browser of this computer. Where there is none, another device is.
pub(crate) fn is_here(args: &Unlock) -> bool {
    match args.via {
        Some(Via::Qr) => false,
        Some(Via::Browser | Via::Local) => true,
        None => is_there(&args.browser),
    }
}

/// Whether this computer has a browser, or a person who opens one by hand.
pub(crate) fn is_there(args: &Browser) -> bool {
    let Browser {
        browser,
        no_browser,
    } = args;
    let environment = Environment::read();
    browser.is_some() || *no_browser || environment.browser.is_some() || environment.desktop
}

#[derive(Serialize)]
struct OpenInBrowser<'a> {
    path: &'a Path,
}

impl Page {
    /// Has a page opened: of `site`, here or on another device, else one that this process serves by itself. `place` is
    /// where the backup lies, for the page's words.
    pub(crate) fn open(
        locked: &LockedKeyring,
        place: &str,
        site: Option<&Site>,
        args: &Unlock,
        context: &Context,
    ) -> Result<Self, Failure> {
        match site {
            Some(site) if !is_here(args) => Self::open_elsewhere(locked, place, site, context),
            _ => Self::open_here(locked, place, site, &args.browser, context),
        }
    }

    fn open_here(
        locked: &LockedKeyring,
        place: &str,
        site: Option<&Site>,
        browser: &Browser,
        context: &Context,
    ) -> Result<Self, Failure> {
        let folder = context.home.state().join("browser");
        atomic::private_folder(&folder).map_err(|error| Failure::file("make", &folder, &error))?;
        sweep(&folder);
        let label = words::tame(place);
        let options = Options {
            repository: *locked.repository().as_bytes(),
            backup_label: &label,
            folder: &folder,
            timeout: Options::TIMEOUT,
            site,
        };
        let mut opening = None;
        let mut open = |path: &Path| {
            opening = Some(path.to_owned());
            start(path, browser, context);
            Ok(())
        };
        let session = Session::begin(&options, &mut open, &mut keys::rng()).map_err(failure)?;
        Ok(Self {
            session,
            prf_input: *locked.prf_input(),
            interrupt: context.interrupt.clone(),
            opening,
            is_elsewhere: false,
        })
    }

    fn open_elsewhere(
        locked: &LockedKeyring,
        place: &str,
        site: &Site,
        context: &Context,
    ) -> Result<Self, Failure> {
        let label = words::tame(place);
        let options = Elsewhere {
            repository: *locked.repository().as_bytes(),
            backup_label: &label,
            timeout: Options::TIMEOUT,
            site,
        };
        let mut refused = None;
        let mut code = String::new();
        let mut begin = |public: heirloom_ceremony::PublicKeys<'_>| {
            let begun = ceremony::begin(place, public, context);
            let begun = begun.map_err(|failure| {
                refused = Some(failure);
                io::Error::from(io::ErrorKind::Other)
            })?;
            code.clone_from(&begun.code);
            Ok(begun)
        };
        let elsewhere = Session::begin_elsewhere(&options, &mut begin, &mut keys::rng());
        let (session, link) =
            elsewhere.map_err(|error| refused.take().unwrap_or_else(|| failure(error)))?;
        scan::show(&link, &code, context)?;
        Ok(Self {
            session,
            prf_input: *locked.prf_input(),
            interrupt: context.interrupt.clone(),
            opening: None,
            is_elsewhere: true,
        })
    }

    /// Whose passkeys it can ask for.
    pub(crate) fn rp_id(&self) -> &str {
        self.session.rp_id()
    }

    /// While a person is waited for. The other device is waited for in steps, between which Ctrl-C is seen.
    fn at_once(&self) -> Option<AtOnce> {
        (!self.is_elsewhere).then(|| self.interrupt.at_once(self.opening.as_deref()))
    }

    /// One authentication with any of `candidates`.
    pub(crate) fn ask(
        &mut self,
        purpose: Purpose,
        candidates: &[Known],
    ) -> Result<Answer, CeremonyError> {
        let ask = Ask {
            purpose,
            prf_input: &self.prf_input,
            candidates,
        };
        let _at_once = self.at_once();
        self.session.authenticate(&ask, &mut keys::rng())
    }

    /// A new passkey, made where none of `exclude` is, which gave the same answer twice.
    pub(crate) fn register(
        &mut self,
        exclude: &[Known],
        display_name: &str,
    ) -> Result<Registered, CeremonyError> {
        let enrol = Enrol {
            prf_input: &self.prf_input,
            exclude,
            user_name: USER_NAME,
            display_name,
        };
        let _at_once = self.at_once();
        self.session.register(&enrol, &mut keys::rng())
    }

    /// Tells the page how it ended, and stops serving it.
    pub(crate) fn end_well(self, title: &str, text: &str) {
        self.end(true, title, text);
    }

    /// Tells the page what went wrong, and stops serving it.
    pub(crate) fn end_badly(self, failure: &Failure) {
        let hint = sentence(failure.hint.as_deref().unwrap_or("see the terminal"));
        // A long message says what happened and then why; only the first is a title.
        match failure.message.split_once(": ") {
            Some((what, why)) if failure.message.len() > LONGEST_TITLE => {
                self.end(false, &capital(what), &format!("{} {hint}", sentence(why)));
            }
            _ => self.end(false, &capital(&failure.message), &hint),
        }
    }

    fn end(self, good: bool, title: &str, text: &str) {
        self.session.end(&Ending {
            good,
            title: title.to_owned(),
            text: text.to_owned(),
        });
    }
}

/// A page that lies on a server, opened by a form in a file of this user's: so nothing of it stands in an address.
#[derive(Debug)]
pub(crate) struct Form {
    path: PathBuf,
}

impl Form {
    /// Writes the form and has a browser open it. `page` is an address that was checked; fields are of `A-Za-z0-9_-`.
    pub(crate) fn open(
        page: &str,
        fields: &[(&str, &str)],
        browser: &Browser,
        context: &Context,
    ) -> Result<Self, Failure> {
        let folder = context.home.state().join("browser");
        atomic::private_folder(&folder).map_err(|error| Failure::file("make", &folder, &error))?;
        sweep(&folder);
        let mut name = [0; 8];
        rand_core::Rng::fill_bytes(&mut keys::rng(), &mut name);
        let path = folder.join(format!("open-{}.html", hex::encode(name)));
        let inputs = fields
            .iter()
            .fold(String::new(), |mut inputs, (name, value)| {
                let _ = writeln!(
                    inputs,
                    "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"
                );
                inputs
            });
        let text = FORM
            .replace("{{page}}", page)
            .replace("{{inputs}}", &inputs);
        atomic::create_private(&path, text.as_bytes())
            .map_err(|error| Failure::file("write", &path, &error))?;
        start(&path, browser, context);
        Ok(Self { path })
    }

    /// The file, which goes when this does.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The file that opens a server's page.
const FORM: &str = include_str!("browser/form.html");

/// Removes what a run left that was ended from outside: an opening file that no page belongs to any more.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        // A younger one may belong to a run that is waiting right now.
        if age.is_ok_and(|age| age > LEFT_BEHIND) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A longer message is no title.
const LONGEST_TITLE: usize = 80;

/// Words that stood behind "error:" as a title of a page: flags and commands in them are for the terminal.
fn capital(words: &str) -> String {
    let mut words = words.to_owned();
    while let Some((from, len)) = words
        .find(" (`--")
        .and_then(|from| Some((from, words[from..].find(')')?)))
    {
        words.replace_range(from..=from + len, "");
    }
    let mut letters = words.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    let mut text = first.unwrap_or_default() + letters.as_str();
    text.retain(|c| c != '`');
    text
}

/// The same as a sentence.
fn sentence(words: &str) -> String {
    let mut text = capital(words);
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

/// What a ceremony that gave nothing means for a command. Nothing is made in answer to it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the end of an error, as `map_err` calls it"
)]
pub(crate) fn failure(error: CeremonyError) -> Failure {
    if let CeremonyError::Relay(cause) = &error
        && cause.kind() == io::ErrorKind::Interrupted
    {
        return Failure::new(Exit::Interrupted, "interrupted");
    }
    let exit = match &error {
        CeremonyError::NoBrowser(_) | CeremonyError::Server(_) | CeremonyError::Relay(_) => {
            Exit::Failed
        }
        CeremonyError::FaultyProvider => Exit::WrongKey,
        _ => Exit::NeedsUnlock,
    };
    let mut failure =
        Failure::new(exit, error.to_string()).or_hint(error.hint().map(str::to_owned));
    if let CeremonyError::NoBrowser(cause)
    | CeremonyError::Server(cause)
    | CeremonyError::Relay(cause) = &error
    {
        failure = failure.because(cause);
    }
    failure
}

/// Has a browser open the file, or says which file to open in one. Never blocks, and never fails: a person can open a file.
fn start(path: &Path, browser: &Browser, context: &Context) {
    let output = &context.output;
    output.event(&Event::new("open_in_browser", OpenInBrowser { path }));
    let by_hand = |why: &str| {
        output.show(&format!(
            "{why}Open this file in a browser on this computer, within 5 minutes:"
        ));
        output.show(&format!("  {}", path.display()));
    };
    if browser.no_browser {
        return by_hand("");
    }
    let environment = Environment::read();
    let mut last = None;
    for mut command in commands(path, browser.browser.as_deref(), &environment) {
        match spawn(&mut command) {
            Ok(()) => return,
            Err(error) => last = Some((command, error)),
        }
    }
    match last {
        Some((command, error)) => by_hand(&format!(
            "{} could not be started ({}). ",
            command.get_program().display(),
            crate::failure::io_words(&error)
        )),
        None => by_hand("No browser was found here. "),
    }
}

fn spawn(command: &mut Command) -> io::Result<()> {
    // What a browser prints is not for the person who runs this, and its keyboard is not ours to share.
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // Whoever started it has to take note of its end.
    std::thread::spawn(move || child.wait());
    Ok(())
}

/// What decides which browser is opened.
#[derive(Debug, Default)]
struct Environment {
    /// `$BROWSER`: commands with a colon between.
    browser: Option<String>,
    /// Whether there is a desktop that a browser could appear on.
    desktop: bool,
}

impl Environment {
    fn read() -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self {
            browser: std::env::var("BROWSER")
                .ok()
                .filter(|value| !value.trim().is_empty()),
            desktop: cfg!(any(windows, target_os = "macos"))
                || is_set("DISPLAY")
                || is_set("WAYLAND_DISPLAY"),
        }
    }
}

/// The commands to try, in this order. One that was named on purpose is the only one.
fn commands(path: &Path, named: Option<&str>, environment: &Environment) -> Vec<Command> {
    if let Some(named) = named {
        return command(named, path).into_iter().collect();
    }
    if let Some(list) = &environment.browser {
        // The colon is what others settled on for this variable; Windows has colons in its paths.
        let list: Vec<_> = if cfg!(windows) {
            vec![list.as_str()]
        } else {
            list.split(':').collect()
        };
        return list
            .into_iter()
            .filter_map(|one| command(one, path))
            .collect();
    }
    if !environment.desktop {
        return Vec::new();
    }
    let line = if cfg!(windows) {
        "rundll32 url.dll,FileProtocolHandler"
    } else if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    command(line, path).into_iter().collect()
}

/// A command line of words, without a shell; the path stands for `%s`, else behind.
fn command(line: &str, path: &Path) -> Option<Command> {
    // A path with spaces is one program if there is such a file.
    if Path::new(line).is_file() {
        let mut command = Command::new(line);
        command.arg(path);
        return Some(command);
    }
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next()?);
    let mut placed = false;
    for word in words {
        if word == "%s" {
            placed = true;
            command.arg(path);
        } else {
            command.arg(word);
        }
    }
    if !placed {
        command.arg(path);
    }
    Some(command)
}

/// The candidate that answered.
pub(crate) fn answered<'a>(answer: &Answer, candidates: &'a [Passkey]) -> Option<&'a Passkey> {
    candidates
        .iter()
        .find(|passkey| passkey.credential_id == answer.credential_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(command: &Command) -> Vec<String> {
        let args = command.get_args().map(|arg| arg.display().to_string());
        std::iter::once(command.get_program().display().to_string())
            .chain(args)
            .collect()
    }

    fn all(named: Option<&str>, browser: Option<&str>, desktop: bool) -> Vec<Vec<String>> {
        let environment = Environment {
            browser: browser.map(str::to_owned),
            desktop,
        };
        let commands = commands(Path::new("/p/a b"), named, &environment);
        commands.iter().map(words_of).collect()
    }

    #[test]
    fn the_browser_that_was_named_is_the_only_one() {
        assert_eq!(
            all(Some("chromium --headless"), Some("firefox"), true),
            [["chromium", "--headless", "/p/a b"]]
        );
    }

    #[test]
    fn the_path_stands_where_it_is_wanted() {
        assert_eq!(
            all(Some("run %s now"), None, true),
            [["run", "/p/a b", "now"]]
        );
    }

    #[cfg(unix)]
    #[test]
    fn the_environment_names_several() {
        assert_eq!(
            all(None, Some("firefox:w3m -T"), false),
            [vec!["firefox", "/p/a b"], vec!["w3m", "-T", "/p/a b"]]
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn without_a_desktop_nothing_is_tried() {
        assert!(all(None, None, false).is_empty());
        assert_eq!(all(None, None, true), [["xdg-open", "/p/a b"]]);
    }

    #[test]
    fn nothing_goes_through_a_shell() {
        assert_eq!(
            all(Some("b; rm -rf $HOME"), None, true),
            [["b;", "rm", "-rf", "$HOME", "/p/a b"]]
        );
        assert!(all(Some("  "), None, true).is_empty());
    }

    #[test]
    fn a_cancelled_dialog_and_a_deleted_passkey_have_the_same_words() {
        let failure = failure(CeremonyError::CancelledOrGone);
        assert_eq!(failure.exit, Exit::NeedsUnlock);
        assert_eq!(capital(&failure.message), "That didn't work");
        assert_eq!(sentence("try `x`"), "Try x.");
        assert_eq!(
            failure.hint.as_deref(),
            Some(
                "if you cancelled, try again; if the passkey is no longer in your password manager, use another way"
            )
        );
    }

    #[test]
    fn a_person_reads_no_word_of_the_protocol() {
        use heirloom_ceremony::BadAnswer;
        let all = [
            CeremonyError::CancelledOrGone,
            CeremonyError::Cancelled,
            CeremonyError::AlreadyThere,
            CeremonyError::Unavailable,
            CeremonyError::UnusablePasskey,
            CeremonyError::FaultyProvider,
            CeremonyError::NotVerified,
            CeremonyError::WrongOrigin("x".into()),
            CeremonyError::BadAnswer(BadAnswer::Signature),
            CeremonyError::Replayed,
            CeremonyError::NoCandidate,
            CeremonyError::OldBrowser("x".into()),
            CeremonyError::Refused("x".into()),
            CeremonyError::TimedOut,
            CeremonyError::PageClosed,
        ];
        for error in all {
            let failure = failure(error);
            let said =
                format!("{} {}", failure.message, failure.hint.unwrap_or_default()).to_lowercase();
            for word in ["webauthn", "prf", "credential", "authenticator", "fido"] {
                assert!(!said.contains(word), "{said}");
            }
        }
    }
}
