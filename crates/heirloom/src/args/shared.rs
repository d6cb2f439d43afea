//! Flags that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::civil::Date;

/// How the backup is unlocked.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Unlock")]
pub(crate) struct Unlock {
    /// The file that holds the recovery key; `-` is standard input
    #[arg(
        long,
        value_name = "FILE",
        env = "HEIRLOOM_RECOVERY_KEY_FILE",
        hide_env_values = true
    )]
    pub(crate) recovery_key_file: Option<PathBuf>,
    /// The file that holds the password; `-` is standard input
    #[arg(
        long,
        value_name = "FILE",
        env = "HEIRLOOM_PASSWORD_FILE",
        hide_env_values = true
    )]
    pub(crate) password_file: Option<PathBuf>,
    /// Which password, by its number in `protect status`, where a backup has several
    #[arg(long, value_name = "N")]
    pub(crate) password_number: Option<usize>,
    /// Unlock with a passkey, in the browser; wins over a recovery key file of environment or settings
    #[arg(long)]
    pub(crate) passkey: bool,
    /// Where passkeys of a backup on a server are asked for; else as fits this computer
    #[arg(long, value_name = "WAY", env = "HEIRLOOM_VIA", hide_env_values = true)]
    pub(crate) via: Option<Via>,
    #[command(flatten)]
    pub(crate) browser: Browser,
}

/// Where passkeys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Via {
    /// The server's page, in a browser on this computer
    Browser,
    /// The server's page, on a phone or another device that scans a QR code
    Qr,
    /// A page of this computer, for passkeys saved for localhost
    Local,
}

/// The browser in which a passkey is asked for.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Unlock")]
pub(crate) struct Browser {
    /// The program that opens the page for a passkey; else `$BROWSER`, else the desktop's own
    #[arg(
        long,
        value_name = "COMMAND",
        env = "HEIRLOOM_BROWSER",
        hide_env_values = true
    )]
    pub(crate) browser: Option<String>,
    /// Open no browser: say which file to open in one; wins over `--browser`
    #[arg(long)]
    pub(crate) no_browser: bool,
}

/// Which chats and messages.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What")]
pub(crate) struct Pick {
    /// Only this chat: its name, the start of its name, or its id; may be given again
    #[arg(long, value_name = "CHAT")]
    pub(crate) chat: Vec<String>,
    /// From this day or time on: 2024-05-31, or 2024-05-31T18:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub(crate) from: Option<i64>,
    /// Up to and not including this day or time
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub(crate) until: Option<i64>,
}

/// Which state of the backup.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct At {
    /// The snapshot, by the beginning of its name; else the newest of every device
    #[arg(long, value_name = "SNAPSHOT", value_parser = snapshot_prefix)]
    pub(crate) snapshot: Option<String>,
}

fn snapshot_prefix(text: &str) -> Result<String, String> {
    let fine = (4..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if fine {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("a snapshot's name is 4 to 64 hexadecimal digits".into())
    }
}

/// Milliseconds of a day's beginning or of an instant, in UTC.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    if let Ok(day) = text.parse::<Date>() {
        let zoned = day
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map_err(|_| "that day is out of range".to_owned())?;
        if !text.contains(':') {
            return Ok(zoned.timestamp().as_millisecond());
        }
    }
    text.parse::<jiff::Timestamp>()
        .map(jiff::Timestamp::as_millisecond)
        .map_err(|_| "write a day as 2024-05-31, or a time as 2024-05-31T18:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_read() {
        assert_eq!(moment("1970-01-02"), Ok(86_400_000));
        assert_eq!(moment("1970-01-02T00:00:01Z"), Ok(86_401_000));
        assert_eq!(moment("1970-01-02T01:00:01+01:00"), Ok(86_401_000));
        for wrong in [
            "",
            "yesterday",
            "2024-13-01",
            "31.05.2024",
            "2024-05-31T18:00",
        ] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_snapshot_is_named_in_hexadecimal() {
        assert_eq!(snapshot_prefix("ABcd"), Ok("abcd".into()));
        assert!(snapshot_prefix("abc").is_err());
        assert!(snapshot_prefix("../../etc").is_err());
    }
}
