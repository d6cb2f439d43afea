//! What every command is given.

use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::args::{Color, Global};
use crate::failure::Failure;
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::settings::Settings;

/// The program's surroundings, read once.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) home: Home,
    pub(crate) settings: Settings,
    pub(crate) interrupt: Interrupt,
    pub(crate) started: Instant,
    /// The account file that flag or environment name.
    pub(crate) account_file: Option<PathBuf>,
}

impl Context {
    /// Reads the settings and decides how to speak.
    pub(crate) fn new(global: &Global) -> Result<Self, (Output, Failure)> {
        let voice = |color| Output::new(global.json, global.quiet, global.verbose, color);
        let color = global.color.unwrap_or(Color::Auto);
        let home = Home::find(global.home.as_deref()).map_err(|failure| (voice(color), failure))?;
        let settings =
            Settings::read(home.settings()).map_err(|failure| (voice(color), failure))?;
        let color = global.color.or(settings.color).unwrap_or(Color::Auto);
        Ok(Self {
            output: voice(color),
            home,
            settings,
            interrupt: Interrupt::listen(),
            started: Instant::now(),
            account_file: global.account_file.clone(),
        })
    }

    /// Seconds since the program began, to a thousandth.
    pub(crate) fn seconds(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }
}

/// Milliseconds since 1970 by this computer's clock.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
