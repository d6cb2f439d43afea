use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;

use super::*;

const SESSION: Fixed<16> = Fixed([7; 16]);
const MESSAGE: &[u8] = b"what the new device needs";

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Both sides up to where they show words.
fn agreed() -> (Joined, Agreed) {
    let joining = Joining::new(&mut rng());
    let approving = Approving::new(SESSION, joining.commitment(&SESSION), &mut rng());
    let (reveal, joined) = joining
        .reveal(&SESSION, approving.contribution(), &mut rng())
        .unwrap();
    (joined, approving.agree(&reveal).unwrap())
}

#[test]
fn both_show_the_same_six_words_and_the_message_arrives() {
    let (joined, agreed) = agreed();
    let words = agreed.words();
    assert_eq!(joined.words().to_string(), words.to_string());
    assert_eq!(words.to_string().split(' ').count(), 6);
    assert!(words.are(&format!("  {}\n", words.to_string().to_uppercase())));
    assert!(!words.are(""));
    let (sealed, awaiting) = agreed.seal(MESSAGE, &mut rng()).unwrap();
    let (message, replying) = joined.open(&sealed).unwrap();
    assert_eq!(message.as_slice(), MESSAGE);
    let reply = replying.seal(b"what it asks for", &mut rng()).unwrap();
    assert_eq!(
        awaiting.open(&reply).unwrap().as_slice(),
        b"what it asks for"
    );
}

#[test]
fn a_reply_is_from_who_opened_the_message_and_to_who_sealed_it() {
    let ((joined, agreed), (other_joined, other_agreed)) = (agreed(), agreed());
    let (sealed, awaiting) = agreed.seal(MESSAGE, &mut rng()).unwrap();
    let (other_sealed, other_awaiting) = other_agreed.seal(MESSAGE, &mut rng()).unwrap();
    let (_, replying) = joined.open(&sealed).unwrap();
    let (_, other_replying) = other_joined.open(&other_sealed).unwrap();
    let reply = replying.seal(b"x", &mut rng()).unwrap();
    let other = other_replying.seal(b"x", &mut rng()).unwrap();
    // Of another agreement, and the message itself sent back.
    assert_eq!(awaiting.open(&other).unwrap_err(), NotAgreed);
    assert_eq!(other_awaiting.open(&other_sealed).unwrap_err(), NotAgreed);
    // Whoever only knows the public keys and the transcript: with a PSK that is not the exported one.
    let ((joined, agreed), reply_to) = (self::agreed(), reply);
    let (sealed, awaiting) = agreed.seal(MESSAGE, &mut rng()).unwrap();
    let (_, mut replying) = joined.open(&sealed).unwrap();
    replying.psk = Zeroizing::new([7; 32]);
    let guessed = replying.seal(b"x", &mut rng()).unwrap();
    assert_ne!(guessed, reply_to);
    assert_eq!(awaiting.open(&guessed).unwrap_err(), NotAgreed);
}

#[test]
fn a_relay_that_swaps_keys_shows_other_words_on_each_side_and_can_seal_to_neither() {
    // The relay poses as the signed-in device to the new one, and as a new one to the signed-in device.
    let new = Joining::new(&mut rng());
    let posing_as_new = Joining::new(&mut rng());
    let signed_in = Approving::new(SESSION, posing_as_new.commitment(&SESSION), &mut rng());
    let posing = Approving::new(SESSION, new.commitment(&SESSION), &mut rng());
    let (reveal, joined) = new
        .reveal(&SESSION, posing.contribution(), &mut rng())
        .unwrap();
    let of_relay = posing.agree(&reveal).unwrap();
    let (false_reveal, stolen) = posing_as_new
        .reveal(&SESSION, signed_in.contribution(), &mut rng())
        .unwrap();
    let agreed = signed_in.agree(&false_reveal).unwrap();
    assert_ne!(joined.words().to_string(), agreed.words().to_string());
    // Each pair the relay is in has its own words: nothing it shows fits both.
    assert_eq!(joined.words().to_string(), of_relay.words().to_string());
    assert_eq!(stolen.words().to_string(), agreed.words().to_string());
    // What it seals as the signed-in device with the key of another agreement does not open.
    let (sealed, _) = agreed.seal(MESSAGE, &mut rng()).unwrap();
    assert_eq!(joined.open(&sealed).unwrap_err(), NotAgreed);
}

#[test]
fn who_reveals_something_else_than_what_was_committed_to_is_refused() {
    let joining = Joining::new(&mut rng());
    let approving = || Approving::new(SESSION, joining.commitment(&SESSION), &mut rng());
    let (one, two) = (approving(), approving());
    // Having seen the other's contribution, the relay tries keys and nonces until the words fit.
    let ground = Joining::new(&mut rng());
    let (reveal, _) = ground
        .reveal(&SESSION, one.contribution(), &mut rng())
        .unwrap();
    assert_eq!(one.agree(&reveal).unwrap_err(), NotAgreed);
    let commitment = joining.commitment(&SESSION);
    let contribution = two.contribution().clone();
    let (mut reveal, _) = joining.reveal(&SESSION, &contribution, &mut rng()).unwrap();
    reveal.contribution.nonce.0[31] ^= 1;
    assert_eq!(two.agree(&reveal).unwrap_err(), NotAgreed);
    reveal.contribution.nonce.0[31] ^= 1;
    let elsewhere = Approving::new(Fixed([8; 16]), commitment, &mut rng());
    assert_eq!(elsewhere.agree(&reveal).unwrap_err(), NotAgreed);
}

#[test]
fn whatever_the_relay_alters_afterwards_opens_nothing() {
    let altered: [fn(&mut Sealed); 4] = [
        |sealed| sealed.ciphertext[0] ^= 1,
        |sealed| sealed.encapsulated.0[0] ^= 1,
        |sealed| sealed.ciphertext.truncate(3),
        |sealed| sealed.ciphertext = vec![0; MAX_SEALED_BYTES + 1],
    ];
    for alter in altered {
        let (joined, agreed) = agreed();
        let (mut sealed, _) = agreed.seal(MESSAGE, &mut rng()).unwrap();
        alter(&mut sealed);
        assert_eq!(joined.open(&sealed).unwrap_err(), NotAgreed);
    }
    // Swapping what is encapsulated back breaks the end, too: nobody else can have made the PSK.
    let joining = Joining::new(&mut rng());
    let approving = Approving::new(SESSION, joining.commitment(&SESSION), &mut rng());
    let contribution = approving.contribution().clone();
    let (mut reveal, joined) = joining.reveal(&SESSION, &contribution, &mut rng()).unwrap();
    let (other, _) = Joining::new(&mut rng())
        .reveal(&SESSION, &contribution, &mut rng())
        .unwrap();
    reveal.encapsulated = other.encapsulated;
    let agreed = approving.agree(&reveal).unwrap();
    let (sealed, _) = agreed.seal(MESSAGE, &mut rng()).unwrap();
    assert_eq!(joined.open(&sealed).unwrap_err(), NotAgreed);
}

#[test]
fn there_are_2048_words_and_none_can_be_taken_for_another() {
    let words: Vec<_> = WORDS.lines().collect();
    assert_eq!(words.len(), 1 << WORD_BITS);
    let mut starts: Vec<_> = words
        .iter()
        .map(|word| &word[..word.len().min(4)])
        .collect();
    starts.dedup();
    assert_eq!(starts.len(), words.len());
    assert!(
        words
            .iter()
            .all(|word| word.bytes().all(|b| b.is_ascii_lowercase()))
    );
}

#[test]
fn words_are_bits_of_the_transcript_in_order() {
    // HKDF-SHA256(0x00 × 32, "heirloom/v1/approval/words"), 66 bits from the left.
    let words = SixWords::of(&[0; 32]);
    let mut bytes = [0; 9];
    Hkdf::<Sha256>::new(None, &[0; 32])
        .expand(b"heirloom/v1/approval/words", &mut bytes)
        .unwrap();
    let first = usize::from(bytes[0]) << 3 | usize::from(bytes[1] >> 5);
    assert!(
        words
            .to_string()
            .starts_with(WORDS.lines().nth(first).unwrap())
    );
    let last =
        (usize::from(bytes[6] & 1) << 10) | usize::from(bytes[7]) << 2 | usize::from(bytes[8] >> 6);
    assert!(
        words
            .to_string()
            .ends_with(WORDS.lines().nth(last).unwrap())
    );
}
