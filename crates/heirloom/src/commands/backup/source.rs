//! Opening what is to be backed up.

use heirloom_archive::Source;
use heirloom_importers::detect::{self, Options};
use heirloom_importers::whatsapp::crypt::WaKey;
use heirloom_importers::whatsapp::text::DateOrder;

use crate::args::write::{From, Order};
use crate::context::Context;
use crate::failure::Failure;
use crate::secrets;

/// Finds out what a path is and opens it. Writes nothing.
pub(super) fn open(from: &From, context: &Context) -> Result<Box<dyn Source + Send>, Failure> {
    let wa_key = from.wa_key.as_deref().map(|path| read_key(path, context)).transpose()?;
    let date_order = from.date_order.map(|order| match order {
        Order::Dmy => DateOrder::DayFirst,
        Order::Mdy => DateOrder::MonthFirst,
        Order::Ymd => DateOrder::YearFirst,
    });
    let source = detect::open(&from.source, Options { date_order, wa_key, title: None })?;
    context.output.detail(&format!("{}: {}", source.info().label, source.info().form));
    Ok(source)
}

fn read_key(path: &std::path::Path, context: &Context) -> Result<WaKey, Failure> {
    if path == std::path::Path::new("-") && context.output.can_ask() {
        let typed = secrets::ask_hidden("WhatsApp's 64-digit key: ")?;
        return Ok(WaKey::from_bytes(typed.as_bytes(), "what was typed")?);
    }
    let bytes = secrets::read(path)?;
    Ok(WaKey::from_bytes(&bytes, &path.display().to_string())?)
}
