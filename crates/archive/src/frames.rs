//! Framing: records one after the other, each behind its length as a varint.

/// The longest record that a reader accepts.
pub const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;

/// Why framed bytes could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end inside a record.
    #[error("the records are cut off")]
    Cut,
    /// A length that no writer makes.
    #[error("a record is longer than the format allows")]
    TooLong,
    /// A record that is no valid protobuf.
    #[error("a record is damaged")]
    Damaged,
}

/// Appends one record behind its length.
pub fn push<M: prost::Message>(record: &M, out: &mut Vec<u8>) {
    record.encode_length_delimited(out).expect("a vector grows");
}

/// A record's bytes, and the rest.
pub type Split<'a> = (&'a [u8], &'a [u8]);

/// Splits the first frame off `bytes`: (the record's bytes, the rest). `None` at the end.
pub fn split_first(bytes: &[u8]) -> Result<Option<Split<'_>>, FrameError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut rest = bytes;
    let len = prost::encoding::decode_varint(&mut rest).map_err(|_| FrameError::Cut)?;
    let len = usize::try_from(len).map_err(|_| FrameError::TooLong)?;
    if len > MAX_RECORD_BYTES {
        return Err(FrameError::TooLong);
    }
    if len > rest.len() {
        return Err(FrameError::Cut);
    }
    Ok(Some(rest.split_at(len)))
}

/// Iterates over the frames of `bytes` without decoding them. Ends after the first error.
pub fn split(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], FrameError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || match split_first(rest) {
        Ok(Some((frame, tail))) => {
            rest = tail;
            Some(Ok(frame))
        }
        Ok(None) => None,
        Err(error) => {
            rest = &[];
            Some(Err(error))
        }
    })
}

/// Decodes one record.
pub fn decode<M: prost::Message + Default>(frame: &[u8]) -> Result<M, FrameError> {
    M::decode(frame).map_err(|_| FrameError::Damaged)
}

/// Decodes all records of `bytes`.
pub fn decode_all<M: prost::Message + Default>(bytes: &[u8]) -> Result<Vec<M>, FrameError> {
    split(bytes).map(|frame| decode(frame?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_pushed_is_split_again(texts in proptest::collection::vec(".{0,40}", 0..20)) {
            let mut bytes = Vec::new();
            let records: Vec<Message> =
                texts.into_iter().map(|text| Message { text, ..Message::default() }).collect();
            for record in &records {
                push(record, &mut bytes);
            }
            prop_assert_eq!(decode_all::<Message>(&bytes), Ok(records));
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_all::<Message>(&bytes);
        }
    }

    #[test]
    fn a_cut_record_is_refused() {
        let mut bytes = Vec::new();
        push(
            &Message {
                text: "hello".into(),
                ..Message::default()
            },
            &mut bytes,
        );
        bytes.pop();
        assert_eq!(decode_all::<Message>(&bytes), Err(FrameError::Cut));
    }

    #[test]
    fn an_enormous_length_is_refused_before_anything_is_allocated() {
        assert_eq!(
            split_first(&[0xff, 0xff, 0xff, 0xff, 0x7f]),
            Err(FrameError::TooLong)
        );
    }
}
