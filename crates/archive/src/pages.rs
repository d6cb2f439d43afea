//! Messages in pages, for readers that must open attachments in between.

use std::ops::ControlFlow;

use prost::Message as _;

use crate::{History, HistoryError, Message, MessageQuery};

/// Messages in one page, if they do not all have one time.
const PAGE_MESSAGES: usize = 1_000;
/// Encoded bytes after which a page ends early.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Called for each page; may use the history, and may stop early.
pub type VisitPage<'a> =
    dyn FnMut(&mut dyn History, Vec<Message>) -> Result<ControlFlow<()>, HistoryError> + 'a;

/// Visits the messages of one conversation like [`History::messages`], in pages, so that the visitor may open
/// attachments. `query.last` is kept in memory as a whole.
pub fn in_pages(
    history: &mut dyn History,
    conversation: &str,
    query: MessageQuery,
    visit: &mut VisitPage<'_>,
) -> Result<(), HistoryError> {
    if query.last.is_some() {
        let mut page = Vec::new();
        history.messages(conversation, query, &mut |message| {
            page.push(message);
            Ok(ControlFlow::Continue(()))
        })?;
        return if page.is_empty() {
            Ok(())
        } else {
            visit(history, page).map(|_| ())
        };
    }
    let mut from = query.from;
    // How many messages of the time `from` were in earlier pages.
    let mut seen = 0_usize;
    loop {
        let mut page: Vec<Message> = Vec::new();
        let mut bytes = 0;
        let mut skip = seen;
        // Many messages of one time: pages grow, so that they are not read again and again.
        let most = PAGE_MESSAGES.max(seen);
        let mut full = false;
        history.messages(
            conversation,
            MessageQuery { from, ..query },
            &mut |message| {
                if skip > 0 {
                    skip -= 1;
                    return Ok(ControlFlow::Continue(()));
                }
                bytes += message.encoded_len();
                page.push(message);
                full = page.len() >= most || (bytes >= PAGE_BYTES && seen < PAGE_MESSAGES);
                Ok(if full {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            },
        )?;
        let Some(last) = page.last().map(|message| message.sent_at) else {
            return Ok(());
        };
        let of_last = page
            .iter()
            .rev()
            .take_while(|message| message.sent_at == last)
            .count();
        seen = if from == Some(last) {
            seen + of_last
        } else {
            of_last
        };
        from = Some(last);
        if visit(history, page)?.is_break() || !full {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{ConversationSummary, Visit};
    use crate::{Attachment, Participant};
    use std::io::Read;

    struct Fixed(Vec<Message>);

    impl History for Fixed {
        fn conversations(&mut self) -> Result<Vec<ConversationSummary>, HistoryError> {
            Ok(Vec::new())
        }

        fn participants(&mut self) -> Result<Vec<Participant>, HistoryError> {
            Ok(Vec::new())
        }

        fn messages(
            &mut self,
            _: &str,
            query: MessageQuery,
            visit: &mut Visit<'_>,
        ) -> Result<(), HistoryError> {
            for message in self
                .0
                .iter()
                .filter(|message| query.covers(message.sent_at))
            {
                if visit(message.clone())?.is_break() {
                    break;
                }
            }
            Ok(())
        }

        fn open(&mut self, _: &Attachment) -> Result<Option<Box<dyn Read + '_>>, HistoryError> {
            Ok(None)
        }
    }

    fn paged(times: impl Iterator<Item = i64>, query: MessageQuery) -> (Vec<String>, usize) {
        let messages = (0..).zip(times).map(|(n, sent_at)| Message {
            id: format!("{n}"),
            sent_at,
            ..Message::default()
        });
        let mut history = Fixed(messages.collect());
        let (mut ids, mut pages) = (Vec::new(), 0);
        in_pages(&mut history, "", query, &mut |_, page| {
            pages += 1;
            ids.extend(page.into_iter().map(|message| message.id));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        (ids, pages)
    }

    fn ids(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|n| n.to_string()).collect()
    }

    #[test]
    fn every_message_comes_once_whatever_their_times() {
        assert_eq!(paged(0..4_500, MessageQuery::default()).0, ids(0..4_500));
        assert_eq!(
            paged((0..4_500).map(|n| n / 7), MessageQuery::default()).0,
            ids(0..4_500)
        );
        assert_eq!(
            paged((0..4_500).map(|n| n / 3_000), MessageQuery::default()).0,
            ids(0..4_500)
        );
        assert_eq!(paged(0..1_000, MessageQuery::default()).0, ids(0..1_000));
        assert_eq!(paged(0..0, MessageQuery::default()), (Vec::new(), 0));
    }

    #[test]
    fn a_query_narrows_the_pages() {
        let query = MessageQuery {
            from: Some(10),
            until: Some(2_500),
            last: None,
        };
        assert_eq!(paged(0..4_500, query), (ids(10..2_500), 3));
    }

    #[test]
    fn a_hundred_thousand_messages_of_one_instant_take_few_pages() {
        let (found, pages) = paged((0..100_000).map(|_| 5), MessageQuery::default());
        assert_eq!(found.len(), 100_000);
        assert!(pages < 12, "{pages}");
    }
}
