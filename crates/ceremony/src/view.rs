//! What the page is told to show. `docs/ceremony.md`, section 3.

use serde::Serialize;

use crate::ask::{Ending, Known};
use crate::bytes;
use crate::error::CeremonyError;
use crate::words::Words;

/// One state of the page.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    kind: Kind,
    pub(crate) number: u64,
    backup: String,
    /// "1 of 3: save the passkey".
    step: Option<&'static str>,
    #[serde(flatten)]
    words: Words,
    cancel: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    good: Option<bool>,
    pub(crate) forget: Option<Forget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Dialog>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Keys>,
    /// Where the browser goes for this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    /// What the computer shows that asks another device.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The sign-in that is asked for. All that a person reads of it is the page's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    sign_in: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Create,
    Get,
    SignIn,
    Leave,
    Wait,
    End,
}

/// A passkey that was just made and found unusable: the page may offer to have it deleted.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Forget {
    pub(crate) rp_id: String,
    pub(crate) credential_id: String,
}

/// What the browser's dialog is given.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(crate) enum Dialog {
    Create {
        challenge: String,
        timeout: u64,
        prf_input: Option<String>,
        rp_id: String,
        rp_name: &'static str,
        user_id: String,
        user_name: String,
        display_name: String,
        algorithms: [i32; 3],
        exclude: Vec<Descriptor>,
    },
    Get {
        challenge: String,
        timeout: u64,
        prf_input: Option<String>,
        rp_id: String,
        allow: Vec<Descriptor>,
    },
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Descriptor {
    id: String,
    transports: Vec<String>,
}

impl Descriptor {
    pub(crate) fn new(id: &[u8], transports: &[String]) -> Self {
        Self {
            id: bytes::text(id),
            transports: transports.to_vec(),
        }
    }
}

impl From<&Known> for Descriptor {
    fn from(known: &Known) -> Self {
        Self::new(&known.credential_id, &known.transports)
    }
}

/// The public keys of a step.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Keys {
    pub(crate) x_wing: String,
    pub(crate) x25519: String,
}

impl View {
    pub(crate) fn ask(
        number: u64,
        backup: &str,
        step: Option<&'static str>,
        words: Words,
        options: Dialog,
        keys: Option<Keys>,
    ) -> Self {
        Self {
            kind: match options {
                Dialog::Create { .. } => Kind::Create,
                Dialog::Get { .. } => Kind::Get,
            },
            number,
            backup: backup.to_owned(),
            step,
            words,
            cancel: true,
            good: None,
            forget: None,
            options: Some(options),
            keys,
            site: None,
            code: None,
            sign_in: None,
        }
    }

    /// Sends the browser to the page of a server, for this step.
    pub(crate) fn leave(&self, rp_id: &str, address: &str) -> Self {
        let title = format!("Next: {rp_id}");
        let text =
            format!("Your passkey is for {rp_id}. Your browser goes on there, and comes back.");
        let mut view = Self::tell(
            Kind::Leave,
            self.number,
            &self.backup,
            &title,
            &[text],
            None,
        );
        "Go on".clone_into(&mut view.words.button);
        view.cancel = true;
        view.site = Some(address.to_owned());
        view
    }

    /// For a page on another device: what a person compares.
    pub(crate) fn on_other_device(&self, code: &str) -> Self {
        let mut view = self.clone();
        view.code = Some(code.to_owned());
        view
    }

    /// Asks the page to sign in; it says in its own words whom it lets in.
    pub(crate) fn sign_in(number: u64, sign_in: &[u8; 16]) -> Self {
        let mut view = Self::tell(Kind::SignIn, number, "", "", &[], None);
        view.sign_in = Some(bytes::text(sign_in));
        view
    }

    /// A view that asks nothing.
    pub(crate) fn tell(
        kind: Kind,
        number: u64,
        backup: &str,
        title: &str,
        text: &[String],
        good: Option<bool>,
    ) -> Self {
        Self {
            kind,
            number,
            backup: backup.to_owned(),
            step: None,
            words: Words {
                title: title.to_owned(),
                text: text.to_vec(),
                button: String::new(),
                note: None,
            },
            cancel: false,
            good,
            forget: None,
            options: None,
            keys: None,
            site: None,
            code: None,
            sign_in: None,
        }
    }

    pub(crate) fn ending(number: u64, backup: &str, ending: &Ending) -> Self {
        let Ending { good, title, text } = ending;
        let text: &[String] = if text.is_empty() {
            &[]
        } else {
            std::slice::from_ref(text)
        };
        Self::tell(Kind::End, number, backup, title, text, Some(*good))
    }

    pub(crate) fn failure(number: u64, backup: &str, error: &CeremonyError) -> Self {
        let text: Vec<String> = error.hint().map(sentences).into_iter().collect();
        Self::tell(
            Kind::Wait,
            number,
            backup,
            &capital(&error.to_string()),
            &text,
            Some(false),
        )
    }

    /// The same words, for good.
    pub(crate) fn at_last(mut self, number: u64) -> Self {
        self.kind = Kind::End;
        self.number = number;
        self
    }

    pub(crate) fn add_text(&mut self, line: &str) {
        self.words.text.push(line.to_owned());
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers")
    }
}

/// A terminal's hint as sentences: "if a, do b; if c, do d" → "If a, do b. If c, do d."
fn sentences(hint: &str) -> String {
    let all: Vec<String> = hint.split("; ").map(capital).collect();
    format!("{}.", all.join(". "))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_the_words_of_the_house() {
        let json = View::failure(4, "a disk", &CeremonyError::CancelledOrGone).json();
        let view: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(view["title"], "That didn't work");
        assert_eq!(
            view["text"][0],
            "If you cancelled, try again. If the passkey is no longer in your password manager, use another way."
        );
        assert_eq!(
            (&view["kind"], &view["good"]),
            (&"wait".into(), &false.into())
        );
    }
}
