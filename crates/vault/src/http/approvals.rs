//! `POST /v1/approvals…`: the relay between a new device and one that is signed in. `docs/vault.md`, section 7.4.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use heirloom_vault_api::{
    ApprovalAnswer, ApprovalAsk, ApprovalCommit, ApprovalEnd, ApprovalJoin, ApprovalJoined,
    ApprovalReply, ApprovalReveal, ApprovalStart, ApprovalStarted, ApprovalState, Code,
    MAX_PAGE_BYTES,
};

use super::openapi::{Nothing, Routes, op};
use super::{Asked, Peer, Shared, answer, json, json_within};
use crate::accounts::coded::Ids;
use crate::refusal::Refusal;
use crate::vault::random;

/// What a step may be refused for.
const STEP: &[Code] = &[Code::NotFound, Code::Conflict];

pub(crate) fn routes() -> Routes {
    Routes::new()
        .post(
            "/v1/approvals",
            start,
            op(
                "startApproval",
                "A new device asks to be let in by another one",
            )
            .takes::<ApprovalStart>()
            .answers::<ApprovalStarted>(201),
        )
        .post(
            "/v1/approvals/commit",
            commit,
            op("commitApproval", "The new device commits itself to its key")
                .takes::<ApprovalCommit>()
                .answers::<Nothing>(200)
                .refuses(STEP),
        )
        .post(
            "/v1/approvals/join",
            join,
            op(
                "joinApproval",
                "A signed-in device enters by the code that was typed",
            )
            .signed_in()
            .takes::<ApprovalJoin>()
            .answers::<ApprovalJoined>(200)
            .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/approvals/state",
            state,
            op("approvalState", "How far it is, for either device")
                .takes::<ApprovalAsk>()
                .answers::<ApprovalState>(200)
                .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/approvals/answer",
            answer_key,
            op("answerApproval", "The signed-in device's key")
                .signed_in()
                .takes::<ApprovalAnswer>()
                .answers::<Nothing>(200)
                .refuses(STEP),
        )
        .post(
            "/v1/approvals/reveal",
            reveal,
            op("revealApproval", "The new device's key")
                .takes::<ApprovalReveal>()
                .answers::<Nothing>(200)
                .refuses(STEP),
        )
        .post(
            "/v1/approvals/end",
            end,
            op(
                "endApproval",
                "What was sealed to the new device, or that the words differ",
            )
            .signed_in()
            .takes::<ApprovalEnd>()
            .answers::<Nothing>(200)
            .refuses(STEP),
        )
        .post(
            "/v1/approvals/reply",
            reply,
            op(
                "replyApproval",
                "What the new device asks for, sealed to the other one, or that the words differ",
            )
            .takes::<ApprovalReply>()
            .answers::<Nothing>(200)
            .refuses(STEP),
        )
}

async fn start(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app.limit_guesses(peer)?;
    let ApprovalStart {} = json(&headers, body).await?;
    let ids = Ids {
        session: random(),
        ticket: random(),
        code: random(),
    };
    let code = app.relay.begin(ids, app.vault.now())?;
    let started = ApprovalStarted {
        session: ids.session,
        ticket: ids.ticket,
        code,
    };
    Ok(answer(StatusCode::CREATED, &started))
}

async fn commit(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let given: ApprovalCommit = json(&headers, body).await?;
    app.relay.commit(&given, app.vault.now())?;
    Ok(answer(StatusCode::OK, &Nothing {}))
}

async fn join(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    Asked {
        account,
        what: ApprovalJoin { code },
    }: Asked<ApprovalJoin>,
) -> Result<Response, Refusal> {
    // Codes are short: whoever tries many is slowed down.
    app.limit_guesses(peer)?;
    let ticket = random();
    let session = app.relay.join(&code, ticket, account, app.vault.now())?;
    Ok(answer(StatusCode::OK, &ApprovalJoined { session, ticket }))
}

async fn state(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let ApprovalAsk { session, ticket } = json(&headers, body).await?;
    let state = app.relay.state(&session, &ticket, app.vault.now())?;
    Ok(answer(StatusCode::OK, &state))
}

async fn answer_key(
    State(app): Shared,
    Asked {
        account,
        what: given,
    }: Asked<ApprovalAnswer>,
) -> Result<Response, Refusal> {
    app.relay.answer(&given, &account, app.vault.now())?;
    Ok(answer(StatusCode::OK, &Nothing {}))
}

async fn reveal(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let given: ApprovalReveal = json(&headers, body).await?;
    app.relay.reveal(&given, app.vault.now())?;
    Ok(answer(StatusCode::OK, &Nothing {}))
}

async fn end(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let given: ApprovalEnd = json_within(&headers, body, MAX_PAGE_BYTES).await?;
    app.relay.end(given, &account, app.vault.now())?;
    Ok(answer(StatusCode::OK, &Nothing {}))
}

async fn reply(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let given: ApprovalReply = json_within(&headers, body, MAX_PAGE_BYTES).await?;
    app.relay.reply(given, app.vault.now())?;
    Ok(answer(StatusCode::OK, &Nothing {}))
}
