//! Opening what is to be backed up.

use heirloom_archive::{
    Conversation, ConversationRef, Message, Participant, Sink, SinkError, Source, SourceError,
};
use heirloom_engine::EngineError;
use heirloom_importers::detect::{self, Options};
use heirloom_importers::whatsapp::crypt::WaKey;
use heirloom_importers::whatsapp::text::DateOrder;

use crate::args::write::{From, Order};
use crate::context::Context;
use crate::failure::Failure;
use crate::secrets;

/// The form of exported chats.
const TEXT_EXPORT: &str = "whatsapp-text-export";

/// Reads a chat export once without storing anything, so that what is wrong with it shows before a backup is begun or
/// joined: the order of day and month is known only when the whole text was seen. Asks for it where somebody is there.
///
/// Databases have no such surprise: they are opened, and decrypted, at once.
pub(super) fn rehearse(
    source: Box<dyn Source + Send>,
    from: &From,
    context: &Context,
) -> Result<Box<dyn Source + Send>, Failure> {
    if source.info().form != TEXT_EXPORT {
        return Ok(source);
    }
    let mut source = source;
    match source.read(&mut Nothing { known: 0, context }) {
        Ok(_) => open(from, context),
        Err(SourceError::AmbiguousDates { file, example }) if context.output.can_ask() => {
            let question =
                format!("{file} does not show what {example} is. Does the day come first");
            let order = if secrets::ask_yes(&question)? {
                Order::Dmy
            } else {
                Order::Mdy
            };
            open(
                &From {
                    date_order: Some(order),
                    ..from.clone()
                },
                context,
            )
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes everything and keeps nothing.
struct Nothing<'a> {
    known: u32,
    context: &'a Context,
}

impl Sink for Nothing<'_> {
    fn participant(&mut self, _: Participant) -> Result<(), SinkError> {
        Ok(())
    }

    fn conversation(&mut self, _: Conversation) -> Result<ConversationRef, SinkError> {
        self.known = self.known.saturating_add(1);
        Ok(ConversationRef(self.known))
    }

    fn message(&mut self, _: ConversationRef, _: Message) -> Result<(), SinkError> {
        if self.context.interrupt.is_set() {
            return Err(SinkError(Box::new(EngineError::Interrupted)));
        }
        Ok(())
    }
}

/// Finds out what a path is and opens it. Writes nothing.
pub(super) fn open(from: &From, context: &Context) -> Result<Box<dyn Source + Send>, Failure> {
    let wa_key = from
        .wa_key
        .as_deref()
        .map(|path| read_key(path, context))
        .transpose()?;
    let date_order = from.date_order.map(|order| match order {
        Order::Dmy => DateOrder::DayFirst,
        Order::Mdy => DateOrder::MonthFirst,
        Order::Ymd => DateOrder::YearFirst,
    });
    let source = detect::open(
        &from.source,
        Options {
            date_order,
            wa_key,
            title: None,
        },
    )?;
    context
        .output
        .detail(&format!("{}: {}", source.info().label, source.info().form));
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
