//! `GET /v1/ceremony` and `POST /v1/handovers…`: a passkey on another device's page. `docs/vault.md`, section 7.6.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use heirloom_vault_api::{
    CeremonySite, Code, HandoverAnswer, HandoverAsk, HandoverEnd, HandoverFind, HandoverFound,
    HandoverKeys, HandoverLook, HandoverStart, HandoverStarted, HandoverState, HandoverView,
    HandoverWait, MAX_HANDOVER_BYTES,
};
use serde::de::DeserializeOwned;

use super::openapi::{Nothing, Routes, op};
use super::{App, Asked, Peer, Shared, answer, json, json_within};
use crate::accounts::Site;
use crate::accounts::coded::Ids;
use crate::accounts::handover::Of;
use crate::refusal::Refusal;
use crate::store::account;
use crate::vault::random;

/// What a step may be refused for.
const STEP: &[Code] = &[Code::NotFound, Code::Conflict];

pub(crate) fn routes() -> Routes {
    Routes::new()
        .get(
            "/v1/ceremony",
            site,
            op(
                "ceremony",
                "Where passkeys that open a backup are asked for",
            )
            .signed_in()
            .answers::<CeremonySite>(200)
            .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/handovers",
            start,
            op(
                "startHandover",
                "A program asks for a passkey on another device",
            )
            .signed_in()
            .takes::<HandoverStart>()
            .answers::<HandoverStarted>(201)
            .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/handovers/ask",
            ask,
            op("askHandover", "What the other device's page shows next")
                .takes::<HandoverAsk>()
                .answers::<Nothing>(200)
                .refuses(STEP),
        )
        .post(
            "/v1/handovers/wait",
            wait,
            op("waitForHandover", "How far the page is")
                .takes::<HandoverWait>()
                .answers::<HandoverState>(200)
                .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/handovers/end",
            end,
            op("endHandover", "The program has what it needs, or gives up")
                .takes::<HandoverEnd>()
                .answers::<Nothing>(200)
                .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/handovers/look",
            look,
            op("lookAtHandover", "What the page is to show")
                .takes::<HandoverLook>()
                .answers::<HandoverView>(200)
                .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/handovers/answer",
            answered,
            op("answerHandover", "What the page sealed to the program")
                .takes::<HandoverAnswer>()
                .answers::<Nothing>(200)
                .refuses(STEP),
        )
        .post(
            "/v1/handovers/find",
            find,
            op(
                "findHandover",
                "Whether a program waits under a code that was typed",
            )
            .takes::<HandoverFind>()
            .answers::<HandoverFound>(200)
            .refuses(&[Code::NotFound]),
        )
}

/// The site of whoever is signed in.
async fn site_of(app: &App, headers: &HeaderMap) -> Result<CeremonySite, Refusal> {
    let account = app.signed_in(headers).await?;
    let of = app
        .vault
        .run(move |sql| account::tenant(sql, &account))
        .await?;
    let tenant = app.tenants.named(of.as_ref()).ok_or(Code::NotFound)?;
    ceremony_site(tenant.site.clone().ok_or(Code::NotFound)?)
}

/// The page of a site for those who come from another device.
pub(super) fn ceremony_site(site: Site) -> Result<CeremonySite, Refusal> {
    let Site {
        rp_id,
        rp_name: _,
        origins,
    } = site;
    let origin = origins.first().ok_or(Code::NotFound)?;
    let page = format!("{origin}/ceremony");
    Ok(CeremonySite { rp_id, page })
}

impl App {
    /// Begins a session of the relay.
    pub(super) fn begin_handover(
        &self,
        of: Of,
        keys: HandoverKeys,
    ) -> Result<HandoverStarted, Refusal> {
        let ids = Ids {
            session: random(),
            ticket: random(),
            code: random(),
        };
        let code = self.handovers.begin(ids, of, keys, self.vault.now())?;
        Ok(HandoverStarted {
            session: ids.session,
            ticket: ids.ticket,
            code,
        })
    }
}

async fn site(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    Ok(answer(StatusCode::OK, &site_of(&app, &headers).await?))
}

async fn start(
    State(app): Shared,
    headers: HeaderMap,
    Asked {
        account,
        what: HandoverStart { keys },
    }: Asked<HandoverStart>,
) -> Result<Response, Refusal> {
    // Without a page there is nobody who could answer.
    site_of(&app, &headers).await?;
    let started = app.begin_handover(Of::Account(account), keys)?;
    Ok(answer(StatusCode::CREATED, &started))
}

/// Requests and answers are longer than what others send.
async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Refusal> {
    json_within(headers, body, MAX_HANDOVER_BYTES).await
}

async fn ask(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let given: HandoverAsk = read(&headers, body).await?;
    app.handovers.ask(given, app.vault.now())?;
    Ok(answer(StatusCode::OK, &Nothing {}))
}

async fn wait(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let HandoverWait { session, ticket } = json(&headers, body).await?;
    let state = app.handovers.state(&session, &ticket, app.vault.now())?;
    Ok(answer(StatusCode::OK, &state))
}

async fn end(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let HandoverEnd { session, ticket } = json(&headers, body).await?;
    app.handovers.end(&session, &ticket, app.vault.now())?;
    Ok(answer(StatusCode::OK, &Nothing {}))
}

async fn look(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let HandoverLook { session, after } = json(&headers, body).await?;
    let view = app.handovers.look(&session, after, app.vault.now())?;
    Ok(answer(StatusCode::OK, &view))
}

async fn answered(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let given: HandoverAnswer = read(&headers, body).await?;
    app.handovers.answer(given, app.vault.now())?;
    Ok(answer(StatusCode::OK, &Nothing {}))
}

async fn find(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    // Codes are short: whoever tries many is slowed down.
    app.limit_guesses(peer)?;
    let HandoverFind { code } = json(&headers, body).await?;
    app.handovers.find(&code, app.vault.now())?;
    Ok(answer(StatusCode::OK, &HandoverFound {}))
}
