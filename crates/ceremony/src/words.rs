//! The page's words. Rules: `passkeys.md`, 2.2; they are for somebody who never heard of a standard.

use crate::ask::Purpose;

/// What one step says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Words {
    pub(crate) title: String,
    pub(crate) text: Vec<String>,
    pub(crate) button: String,
    /// A warning or an aside, set apart.
    pub(crate) note: Option<String>,
}

impl Words {
    fn new(title: &str, text: &[&str], button: &str) -> Self {
        Self {
            title: title.to_owned(),
            text: text.iter().map(|line| (*line).to_owned()).collect(),
            button: button.to_owned(),
            note: None,
        }
    }
}

const HANDSHAKE: &str = "Next, your browser asks for your fingerprint, face or screen lock.";

/// The words of an authentication.
pub(crate) fn asked(purpose: Purpose, names: &[&str], is_elsewhere: bool) -> Words {
    let mut words = match purpose {
        Purpose::Unlock => Words::new("Unlock your backup", &[HANDSHAKE], "Unlock"),
        Purpose::Restore if is_elsewhere => Words::new(
            "Unlock your backup on your computer",
            &[HANDSHAKE],
            "Unlock",
        ),
        Purpose::Restore => Words::new(
            "Unlock your backup on this computer",
            &[HANDSHAKE],
            "Unlock",
        ),
        Purpose::Check => Words::new(
            "Check that your passkey opens the backup",
            &[HANDSHAKE, "Nothing is changed."],
            "Check",
        ),
        Purpose::Confirm => Words::new(
            "Now open your backup with it",
            &[
                "Both answers agreed, and the passkey was added to your backup. It counts once it opened it.",
                HANDSHAKE,
            ],
            "Unlock",
        ),
        Purpose::Add => Words::new(
            "First, unlock your backup",
            &[HANDSHAKE, "Then another way to open it is added."],
            "Unlock",
        ),
        Purpose::Remove => Words::new(
            "First, unlock with a way that stays",
            &[
                HANDSHAKE,
                "Nothing is removed before this passkey opened the backup.",
            ],
            "Unlock",
        ),
        Purpose::Rotate => Words::new(
            "Unlock your backup to change its keys",
            &[HANDSHAKE],
            "Unlock",
        ),
        Purpose::Off => Words::new(
            "Unlock your backup to turn its protection off",
            &[HANDSHAKE],
            "Unlock",
        ),
    };
    if let [name] = names {
        words.text.push(format!("The passkey is called “{name}”."));
    }
    words
}

/// 1 of 3.
pub(crate) fn save() -> Words {
    let mut words = Words::new(
        "Protect your backup with a passkey",
        &[
            "Unlock it with your fingerprint, face or screen lock. No password to remember.",
            "Next, your browser asks where to save the passkey. Choose the password manager that you use on all your computers.",
        ],
        "Save a passkey",
    );
    words.note = Some(
        "If you delete this passkey later, you can't open your backup with it. Add a second way afterwards."
            .to_owned(),
    );
    words
}

/// Still 1 of 3, after a fault that some systems have.
pub(crate) fn save_again() -> Words {
    Words::new(
        "Your browser had a problem",
        &["No passkey was saved. Please try once more."],
        "Save a passkey",
    )
}

/// 2 of 3.
pub(crate) fn test(provider: Option<&str>) -> Words {
    let saved = match provider {
        Some(name) => format!("Passkey saved in {name}"),
        None => "Passkey saved".to_owned(),
    };
    Words::new(
        &saved,
        &[
            "Now test that it can open your backup, before anything relies on it.",
            HANDSHAKE,
        ],
        "Test it",
    )
}

/// 3 of 3.
pub(crate) fn once_more() -> Words {
    Words::new(
        "Once more",
        &["A passkey must give the same answer each time. A few don't, so we ask twice."],
        "Test it again",
    )
}
