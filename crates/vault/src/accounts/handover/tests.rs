use super::super::coded::LIFE_MS;
use super::*;

const ACCOUNT: Of = Of::Account(Fixed([9; 16]));
const TICKET: Fixed<16> = Fixed([2; 16]);

fn keys() -> HandoverKeys {
    HandoverKeys {
        x_wing: Fixed([3; 1216]),
        x25519: Fixed([4; 32]),
    }
}

fn begin(handovers: &Handovers, number: u8, of: Of, now: u64) -> (Fixed<16>, String) {
    let ids = Ids {
        session: Fixed([number; 16]),
        ticket: TICKET,
        code: Fixed([number; 16]),
    };
    let code = handovers.begin(ids, of, keys(), now).unwrap();
    (ids.session, code)
}

fn ask(handovers: &Handovers, session: Fixed<16>, number: u64) -> Result<(), Code> {
    let request = Bytes::new(vec![5; 100]).unwrap();
    let ticket = TICKET;
    let ask = HandoverAsk {
        session,
        ticket,
        number,
        request,
    };
    handovers.ask(ask, 1)
}

fn sealed(byte: u8) -> HandoverSealed {
    HandoverSealed {
        suite: 32,
        encapsulated: Bytes::new(vec![byte; 32]).unwrap(),
        sealed: Bytes::new(vec![byte; 64]).unwrap(),
    }
}

fn answer(handovers: &Handovers, session: Fixed<16>, number: u64, byte: u8) -> Result<(), Code> {
    let answer = sealed(byte);
    let answer = HandoverAnswer {
        session,
        number,
        answer,
    };
    handovers.answer(answer, 1)
}

#[test]
fn a_request_takes_one_answer_and_a_new_request_another_one() {
    let handovers = Handovers::default();
    let (session, _) = begin(&handovers, 1, ACCOUNT, 0);
    assert_eq!(
        answer(&handovers, session, 0, 1),
        Err(Code::Conflict),
        "nothing was asked"
    );
    ask(&handovers, session, 1).unwrap();
    let view = handovers.look(&session, 0, 1).unwrap();
    assert_eq!((view.number, view.request.is_some()), (1, true));
    assert_eq!(handovers.look(&session, 1, 1).unwrap().request, None);
    assert_eq!(
        answer(&handovers, session, 2, 1),
        Err(Code::Conflict),
        "not asked yet"
    );
    answer(&handovers, session, 1, 1).unwrap();
    assert_eq!(
        answer(&handovers, session, 1, 2),
        Err(Code::Conflict),
        "a second answer"
    );
    let state = handovers.state(&session, &TICKET, 1).unwrap();
    assert_eq!((state.seen, state.answer), (1, Some(sealed(1))));
    assert_eq!(
        ask(&handovers, session, 1),
        Err(Code::Conflict),
        "a number again"
    );
    ask(&handovers, session, 3).unwrap();
    assert_eq!(handovers.state(&session, &TICKET, 1).unwrap().answer, None);
    assert_eq!(
        answer(&handovers, session, 1, 1),
        Err(Code::Conflict),
        "an answer to what is over"
    );
    answer(&handovers, session, 3, 3).unwrap();
}

#[test]
fn only_the_program_asks_waits_and_ends() {
    let handovers = Handovers::default();
    let (session, _) = begin(&handovers, 1, ACCOUNT, 0);
    let other = Fixed([7; 16]);
    let request = Bytes::new(vec![5; 100]).unwrap();
    let foreign = HandoverAsk {
        session,
        ticket: other,
        number: 1,
        request,
    };
    assert_eq!(handovers.ask(foreign, 1), Err(Code::NotFound));
    assert_eq!(handovers.state(&session, &other, 1), Err(Code::NotFound));
    assert_eq!(handovers.end(&session, &other, 1), Err(Code::NotFound));
    handovers.end(&session, &TICKET, 1).unwrap();
    assert_eq!(handovers.look(&session, 0, 1), Err(Code::NotFound));
}

#[test]
fn a_session_is_over_after_ten_minutes_for_everybody() {
    let handovers = Handovers::default();
    let (session, code) = begin(&handovers, 1, ACCOUNT, 0);
    ask(&handovers, session, 1).unwrap();
    handovers.find(&code, LIFE_MS - 1).unwrap();
    handovers.look(&session, 0, LIFE_MS - 1).unwrap();
    assert_eq!(handovers.find(&code, LIFE_MS), Err(Code::NotFound));
    assert_eq!(handovers.look(&session, 0, LIFE_MS), Err(Code::NotFound));
    assert_eq!(
        handovers.state(&session, &TICKET, LIFE_MS),
        Err(Code::NotFound)
    );
    let late = HandoverAnswer {
        session,
        number: 1,
        answer: sealed(1),
    };
    assert_eq!(handovers.answer(late, LIFE_MS), Err(Code::NotFound));
}

#[test]
fn a_typed_code_tells_that_somebody_waits_and_nothing_else() {
    let handovers = Handovers::default();
    let (_, code) = begin(&handovers, 1, ACCOUNT, 0);
    assert_eq!(
        handovers.find(&code.to_lowercase().replace('-', " "), 1),
        Ok(())
    );
    assert_eq!(handovers.find("BBBB-BBBB", 1), Err(Code::NotFound));
    assert_eq!(handovers.find("", 1), Err(Code::NotFound));
}

#[test]
fn an_account_has_four_at_a_time_and_what_is_over_leaves_memory() {
    let handovers = Handovers::default();
    let (of_other, _) = begin(&handovers, 100, Of::Account(Fixed([8; 16])), 0);
    let mine: Vec<_> = (1..=5)
        .map(|number| begin(&handovers, number, ACCOUNT, 0).0)
        .collect();
    assert_eq!(
        handovers.look(&mine[0], 0, 1),
        Err(Code::NotFound),
        "the oldest went"
    );
    for session in &mine[1..] {
        handovers.look(session, 0, 1).unwrap();
    }
    handovers.look(&of_other, 0, 1).unwrap();
    begin(&handovers, 50, ACCOUNT, LIFE_MS);
    let inner = handovers.0.lock().unwrap();
    assert_eq!(inner.of_accounts.sizes(), (1, 1, 1));
}

#[test]
fn a_program_that_is_not_signed_in_asks_for_its_sign_in_and_nothing_else() {
    let handovers = Handovers::default();
    let sign_in = Fixed([7; 16]);
    let (session, _) = begin(&handovers, 1, Of::SignIn(sign_in), 0);
    let (of_account, _) = begin(&handovers, 2, ACCOUNT, 0);
    assert_eq!(
        handovers.look(&session, 0, 1).unwrap().sign_in,
        Some(sign_in)
    );
    assert_eq!(handovers.look(&of_account, 0, 1).unwrap().sign_in, None);
}

#[test]
fn strangers_push_out_strangers_and_never_an_account() {
    let handovers = Handovers::default();
    let numbered = |number: usize| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Fixed(bytes)
    };
    let begin = |number: usize, of| {
        // A code is the number to the base of its letters.
        let mut code = [0; 16];
        code[8..].copy_from_slice(&number.to_be_bytes());
        let ids = Ids {
            session: numbered(number),
            ticket: TICKET,
            code: Fixed(code),
        };
        handovers.begin(ids, of, keys(), 0).unwrap()
    };
    begin(1, ACCOUNT);
    begin(2, Of::SignIn(numbered(2)));
    for number in 10..10 + MOST_OF_STRANGERS {
        begin(number, Of::SignIn(numbered(number)));
    }
    handovers.look(&numbered(1), 0, 1).unwrap();
    assert_eq!(handovers.look(&numbered(2), 0, 1), Err(Code::NotFound));
    assert_eq!(
        handovers.0.lock().unwrap().of_strangers.sizes(),
        (MOST_OF_STRANGERS, MOST_OF_STRANGERS, MOST_OF_STRANGERS)
    );
    for number in 1000..=1000 + MOST {
        begin(number, Of::Account(numbered(number)));
    }
    let newest = 9 + MOST_OF_STRANGERS;
    handovers.look(&numbered(newest), 0, 1).unwrap();
}

#[test]
fn a_strangers_session_is_over_like_any_other() {
    let handovers = Handovers::default();
    let of = Of::SignIn(Fixed([7; 16]));
    let (session, code) = begin(&handovers, 1, of, 0);
    ask(&handovers, session, 1).unwrap();
    handovers.find(&code, 1).unwrap();
    assert_eq!(
        handovers.end(&session, &Fixed([8; 16]), 1),
        Err(Code::NotFound),
        "another's ticket"
    );
    handovers.end(&session, &TICKET, 1).unwrap();
    assert_eq!(handovers.find(&code, 1), Err(Code::NotFound));
    begin(&handovers, 2, of, 1);
    begin(&handovers, 3, ACCOUNT, 1 + LIFE_MS);
    let inner = handovers.0.lock().unwrap();
    assert_eq!(inner.of_strangers.sizes(), (0, 0, 0));
}
