//! Unlocking: what would open a backup is told from its keyring's public part, a way in is chosen, tried, and what
//! else would work is said when it fails. Nothing is made in answer to a failure.

pub(crate) mod offers;
pub(crate) mod own;

use heirloom_ceremony::{CeremonyError, LOCALHOST, Purpose, Site};
use heirloom_keys::{
    HighEntropySecret, LockedKeyring, Method, OpenError, Passkey, PrfOutput, UnlockSecret, Unlocked,
};

use self::offers::{Offers, Way};
use self::own::Own;
use crate::args::shared::Unlock;
use crate::browser::{self, Page};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::password::{self, Guarded};
use crate::recovery::{self, EnteredKey};
use crate::repository::Found;
use crate::secrets;
use crate::server::ceremony;

/// How often a person may choose again before the command gives up.
const TRIES: usize = 5;
/// Said before a browser opens to ask for a passkey.
const BEFORE: &str = "Next, your browser asks for your fingerprint, face or screen lock.";

/// What was entered to open a keyring.
#[derive(Debug)]
pub(crate) enum Entered {
    /// A recovery key, typed or from a file.
    RecoveryKey(EnteredKey),
    /// What a passkey answered in the browser.
    Passkey(EnteredPasskey),
    /// What a password gave, once a server had checked it.
    Password(UnlockSecret),
    /// What this computer keeps for itself.
    ThisComputer(UnlockSecret),
}

/// What a passkey answered.
#[derive(Debug)]
pub(crate) struct EnteredPasskey {
    secret: UnlockSecret,
}

impl Entered {
    /// Unlocks the newest keyring of a backup, and checks that it goes on from what this computer knows.
    pub(crate) fn open_newest(&self, found: &Found) -> Result<Unlocked, Failure> {
        let unlocked = self.open(&found.newest)?;
        found.verify_succession(&unlocked, |before| self.open(before))?;
        Ok(unlocked)
    }

    /// Unlocks one keyring, with words of its own for each way that fails.
    pub(crate) fn open(&self, locked: &LockedKeyring) -> Result<Unlocked, Failure> {
        match self {
            Self::RecoveryKey(key) => key.open(locked),
            Self::Passkey(passkey) => locked.unlock(&passkey.secret).map_err(|error| match error {
                OpenError::WrongSecret => wrong_passkey(),
                other => other.into(),
            }),
            Self::Password(secret) | Self::ThisComputer(secret) => Ok(locked.unlock(secret)?),
        }
    }
}

impl EnteredPasskey {
    /// Takes what a passkey gave, for the slot of `passkey`.
    pub(crate) fn new(passkey: Passkey, prf: PrfOutput) -> Result<Self, CeremonyError> {
        // All zeros is what a passkey gives that gives nothing.
        let secret = HighEntropySecret::try_from(prf).map_err(|_| CeremonyError::Unavailable)?;
        Ok(Self {
            secret: UnlockSecret::passkey(passkey, secret),
        })
    }
}

/// A keyring that was unlocked, what opened it, and the page that is still open when it was a passkey.
#[derive(Debug)]
pub(crate) struct Key {
    unlocked: Unlocked,
    entered: Entered,
    page: Option<Page>,
    /// What it was unlocked for.
    purpose: Purpose,
}

impl Key {
    /// Ends the page where there is one: nothing more is asked of the person.
    pub(crate) fn done(self) -> (Unlocked, Entered) {
        let Self {
            unlocked,
            entered,
            page,
            purpose,
        } = self;
        if let Some(page) = page {
            let title = match purpose {
                Purpose::Check | Purpose::Remove => "It opens your backup",
                _ => "Your backup is unlocked",
            };
            page.end_well(title, "Go back to the terminal. You can close this page.");
        }
        (unlocked, entered)
    }

    /// Keeps the page open for what comes next in it; what was entered is not needed any more.
    pub(crate) fn keep_page(self) -> (Unlocked, Option<Page>) {
        let Self {
            unlocked,
            entered: _,
            page,
            purpose: _,
        } = self;
        (unlocked, page)
    }
}

/// Unlocks the newest keyring by the way in that the flags name, or that a person chooses.
pub(crate) fn unlock(
    found: &Found,
    args: &Unlock,
    purpose: Purpose,
    context: &Context,
) -> Result<Key, Failure> {
    refuse_fork(found)?;
    unlock_one_side(found, args, purpose, context)
}

/// Both sides of a fork are shown, and never chosen between.
pub(crate) fn refuse_fork(found: &Found) -> Result<(), Failure> {
    match &found.twin {
        None => Ok(()),
        Some(twin) => Err(OpenError::Forked {
            number: twin.number(),
        }
        .into()),
    }
}

/// The same for one side of a fork, whose owner joins the two.
pub(crate) fn unlock_one_side(
    found: &Found,
    args: &Unlock,
    purpose: Purpose,
    context: &Context,
) -> Result<Key, Failure> {
    // What is named goes first, also where this computer's own keys are damaged.
    let own = if is_given(args, context) {
        Own::None
    } else {
        own::find(found)?
    };
    let site = match asked_at(found, args, context) {
        // What is no passkey opens without that page.
        Err(failure) if !args.passkey && args.via.is_none() => {
            if !is_given(args, context) {
                context.output.warn(&format!(
                    "passkeys cannot be asked for: {}",
                    failure.message
                ));
            }
            None
        }
        site => site?,
    };
    let offers = Offers::with_own(&found.newest, matches!(own, Own::Here(_)), site);
    if matches!(own, Own::Removed) {
        let removed = Failure::new(
            Exit::NeedsUnlock,
            "this computer was let into the backup, and its way in was removed",
        );
        if !context.output.can_ask() {
            return Err(removed.or_hint(
                offers
                    .flags()
                    .map(|flags| format!("this backup can be opened with {flags}")),
            ));
        }
        context.output.complain(&removed);
    }
    if let Some(way) = named(args, &offers, found, context)? {
        return attempt(way, found, args, &offers, purpose, context);
    }
    let mut tries = TRIES;
    loop {
        let way = choose(&offers, context)?;
        tries -= 1;
        match attempt(way, found, args, &offers, purpose, context) {
            Err(failure) if tries > 0 && is_worth_another(&failure) => {
                context.output.show("");
                context.output.complain(&failure);
                context.output.show("");
            }
            ended => return ended,
        }
    }
}

/// The server on whose page passkeys are asked for: where the backup has some of that server's, or it was said.
fn asked_at(found: &Found, args: &Unlock, context: &Context) -> Result<Option<Site>, Failure> {
    let passkeys = |is_wanted: &dyn Fn(&str) -> bool| {
        let mut slots = found.newest.slots().iter();
        slots.any(|slot| matches!(slot.method(), Method::Passkey(known) if is_wanted(&known.rp_id)))
    };
    if args.via.is_some() {
        if !passkeys(&|_| true) {
            return Ok(None);
        }
        return ceremony::site(&found.place, args.via, context);
    }
    if !passkeys(&|rp_id| rp_id != LOCALHOST) {
        return Ok(None);
    }
    let site = ceremony::site(&found.place, None, context)?;
    Ok(site.filter(|site| passkeys(&|rp_id| rp_id == site.rp_id())))
}

/// Whether another way in, or another try, may help.
fn is_worth_another(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::NeedsUnlock | Exit::WrongKey)
}

/// Whether the command line, the environment or the settings name a way in.
pub(crate) fn is_given(args: &Unlock, context: &Context) -> bool {
    args.passkey || args.password_file.is_some() || recovery::file(args, context).is_some()
}

/// The way in that is named, or the only one where somebody can be asked. `None`: a person has to choose.
fn named(
    args: &Unlock,
    offers: &Offers,
    found: &Found,
    context: &Context,
) -> Result<Option<Way>, Failure> {
    if args.passkey {
        if offers.passkeys.is_empty() {
            return Err(nothing_here(
                &format!("no passkey that opens {} can be used here", found.place),
                offers,
            ));
        }
        return Ok(Some(Way::Passkey));
    }
    if args.password_file.is_some() && !offers.passwords.is_empty() {
        return Ok(Some(Way::Password));
    }
    if recovery::file(args, context).is_some() {
        return Ok(Some(Way::RecoveryKey));
    }
    if args.password_file.is_some() {
        return Err(nothing_here(
            &format!("no password opens the backup in {}", found.place),
            offers,
        ));
    }
    if offers.own {
        return Ok(Some(Way::ThisComputer));
    }
    let here = offers.here();
    if here.is_empty() {
        return Err(nothing_here(
            &format!("nothing that opens {} can be asked for here", found.place),
            offers,
        ));
    }
    if !context.output.can_ask() {
        return Err(nobody_to_ask(offers));
    }
    Ok(match here.as_slice() {
        [only] => Some(*only),
        _ => None,
    })
}

fn nobody_to_ask(offers: &Offers) -> Failure {
    if offers.here() == [Way::RecoveryKey] {
        return Failure::new(
            Exit::NeedsUnlock,
            "this needs the recovery key, and nobody can be asked for it here",
        )
        .hint("add `--recovery-key-file FILE`");
    }
    Failure::new(
        Exit::NeedsUnlock,
        "this needs an unlock, and nobody can be asked which one here",
    )
    .or_hint(
        offers
            .flags()
            .map(|flags| format!("this backup can be opened with {flags}")),
    )
}

fn nothing_here(message: &str, offers: &Offers) -> Failure {
    let mut failure = Failure::new(Exit::NeedsUnlock, message);
    failure.causes = offers
        .lines()
        .into_iter()
        .filter(|line| line.starts_with("not from here"))
        .collect();
    failure.or_hint(
        offers
            .flags()
            .map(|flags| format!("what opens it from here: {flags}")),
    )
}

/// Lists the ways in, most likely first, and asks which one.
fn choose(offers: &Offers, context: &Context) -> Result<Way, Failure> {
    let output = &context.output;
    let here = offers.here();
    output.show("This backup can be opened with:");
    for (at, line) in offers.lines().iter().enumerate() {
        if at < here.len() {
            output.show(&format!("  {}. {line}", at + 1));
        } else {
            output.show(&format!("     {line}"));
        }
    }
    for _ in 0..TRIES {
        let answer = secrets::ask_line("Which one? [1] ")?;
        let number = match answer.trim() {
            "" => Some(1),
            text => text.parse::<usize>().ok(),
        };
        if let Some(way) = number.and_then(|number| here.get(number.checked_sub(1)?)) {
            return Ok(*way);
        }
        output.show(&format!("  type a number from 1 to {}", here.len()));
    }
    Err(Failure::new(Exit::NeedsUnlock, "no way in was chosen"))
}

/// Tries one way in; what else would work is said when it fails.
fn attempt(
    way: Way,
    found: &Found,
    args: &Unlock,
    offers: &Offers,
    purpose: Purpose,
    context: &Context,
) -> Result<Key, Failure> {
    let key = match way {
        Way::ThisComputer => by_this_computer(found).map(|(unlocked, entered)| Key {
            unlocked,
            entered,
            page: None,
            purpose,
        }),
        Way::RecoveryKey => by_recovery_key(found, args, context).map(|(unlocked, key)| Key {
            unlocked,
            entered: Entered::RecoveryKey(key),
            page: None,
            purpose,
        }),
        Way::Passkey => by_passkey(found, args, offers, purpose, context),
        Way::Password => by_password(found, args, offers, context).map(|(unlocked, entered)| Key {
            unlocked,
            entered,
            page: None,
            purpose,
        }),
    };
    key.map_err(|failure| with_other_ways(failure, way, offers))
}

/// Unlocks by a recovery key and nothing else, and says when a group of it was mended.
pub(crate) fn by_recovery_key(
    found: &Found,
    args: &Unlock,
    context: &Context,
) -> Result<(Unlocked, EnteredKey), Failure> {
    refuse_fork(found)?;
    let key = recovery::enter(args, context)?;
    let unlocked = key.open(&found.newest)?;
    found.verify_succession(&unlocked, |before| key.open(before))?;
    if let Some(group) = key.mended {
        context.output.warn(&format!("group {group} of the recovery key was wrong and was mended; correct it where you keep it"));
    }
    Ok((unlocked, key))
}

/// Unlocks by what this computer keeps for itself, and by nothing else.
pub(crate) fn by_this_computer(found: &Found) -> Result<(Unlocked, Entered), Failure> {
    let Own::Here(way) = own::find(found)? else {
        return Err(Failure::new(
            Exit::NeedsUnlock,
            "this computer does not open the backup by itself",
        ));
    };
    let entered = Entered::ThisComputer(way.unlock_secret());
    let unlocked = entered.open_newest(found)?;
    own::finish(found, &unlocked)?;
    Ok((unlocked, entered))
}

fn by_password(
    found: &Found,
    args: &Unlock,
    offers: &Offers,
    context: &Context,
) -> Result<(Unlocked, Entered), Failure> {
    let guarded: Vec<_> = offers
        .passwords
        .iter()
        .filter_map(|(number, password)| Some((*number, Guarded::of(password)?)))
        .collect();
    let versions = password::one_of(&guarded, args.password_number, context)?;
    let file = args.password_file.as_deref();
    let mut refused = None;
    for secret in password::open(&versions, &found.place, file, context)? {
        let entered = Entered::Password(secret);
        match entered.open_newest(found) {
            Err(failure) if failure.exit == Exit::WrongKey => refused = refused.or(Some(failure)),
            opened => return Ok((opened?, entered)),
        }
    }
    Err(refused.unwrap_or_else(|| Failure::new(Exit::WrongKey, "the password opens nothing here")))
}

fn by_passkey(
    found: &Found,
    args: &Unlock,
    offers: &Offers,
    purpose: Purpose,
    context: &Context,
) -> Result<Key, Failure> {
    let site = offers.site.as_ref();
    if site.is_none() || browser::is_here(args) {
        context.output.say(BEFORE);
    }
    let mut page = Page::open(&found.newest, &found.place, site, args, context)?;
    let opened = answer(&mut page, &offers.passkeys, purpose)
        .map_err(browser::failure)
        .and_then(|entered| Ok((entered.open_newest(found)?, entered)));
    match opened {
        Ok((unlocked, entered)) => Ok(Key {
            unlocked,
            entered,
            page: Some(page),
            purpose,
        }),
        Err(failure) => {
            let failure = with_other_ways(failure, Way::Passkey, offers);
            page.end_badly(&failure);
            Err(failure)
        }
    }
}

/// Asks any of `passkeys` and takes what it gives.
pub(crate) fn answer(
    page: &mut Page,
    passkeys: &[Passkey],
    purpose: Purpose,
) -> Result<Entered, CeremonyError> {
    let known: Vec<_> = passkeys
        .iter()
        .map(|passkey| offers::known(passkey, None))
        .collect();
    let answer = page.ask(purpose, &known)?;
    let passkey = browser::answered(&answer, passkeys)
        .cloned()
        .ok_or(heirloom_ceremony::BadAnswer::UnknownPasskey)?;
    EnteredPasskey::new(passkey, answer.prf).map(Entered::Passkey)
}

/// The passkey is the right one by its id, and gave something else.
fn wrong_passkey() -> Failure {
    Failure::new(
        Exit::WrongKey,
        "the passkey answered, and what it gave does not open this backup: this device's system has a known fault, or it is another passkey than the one that was added",
    )
    .hint("update the system and the browser and try again (iPhones before iOS 18.4 have such a fault), or use another way")
}

/// Adds what else opens the backup, once.
fn with_other_ways(mut failure: Failure, tried: Way, offers: &Offers) -> Failure {
    if !is_worth_another(&failure) {
        return failure;
    }
    let Some(other) = offers.besides(tried) else {
        return failure;
    };
    failure.hint = Some(match failure.hint.take() {
        None => format!("{other} opens this backup too"),
        Some(hint) if hint.contains(other) => hint,
        Some(hint) if hint.ends_with("use another way") => format!("{hint}: {other}"),
        Some(hint) => format!("{hint}; {other} opens this backup too"),
    });
    failure
}

#[cfg(test)]
mod tests;
