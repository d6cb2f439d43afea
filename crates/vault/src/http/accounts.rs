//! `POST /v1/accounts`, `GET /v1/account`, `POST /v1/invitations`, `DELETE /v1/session`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use heirloom_vault_api::{
    Account, Code, Invitation, Invite, MAX_REQUEST_BYTES, Problem, SignIn, SignedIn, SignedInBy,
    Token,
};

use super::idempotency::{key, once, once_of_token};
use super::openapi::{Nothing, Routes, op};
use super::{Peer, Shared, answer, bearer, body_of_json, parse};
use crate::refusal::Refusal;
use crate::store::account::{self, NewSignIn, NotInvited};
use crate::store::device::{self, NewDevice};
use crate::vault::random;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .post(
            "/v1/accounts",
            sign_in,
            op("signIn", "Opens an account, or lets a device into one")
                .takes::<SignIn>()
                .answers::<SignedIn>(201)
                .refuses(&[
                    Code::SignInNeeded,
                    Code::TooManyDevices,
                    Code::OutcomeUnknown,
                ])
                .idempotent(),
        )
        .get(
            "/v1/account",
            account,
            op("account", "Whose token this is, and how much is stored")
                .signed_in()
                .answers::<Account>(200),
        )
        .delete(
            "/v1/session",
            sign_out,
            op("signOut", "Ends this sign-in")
                .signed_in()
                .answers::<Nothing>(200),
        )
        .post(
            "/v1/invitations",
            invite,
            op("invite", "Invites another device into the account")
                .signed_in()
                .answers::<Invitation>(201)
                .idempotent(),
        )
}

impl From<NotInvited> for Refusal {
    fn from(why: NotInvited) -> Self {
        match why {
            NotInvited::SignedOut => Code::SignedOut.into(),
            NotInvited::TooMany => Problem::from(Code::TooManyRequests).retry_after(60).into(),
        }
    }
}

/// Opens an account, or lets a device into one.
async fn sign_in(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app.limit_guesses(peer)?;
    let body = body_of_json(&headers, body, MAX_REQUEST_BYTES).await?;
    let SignIn {
        invite,
        name,
        on_paper,
    } = parse(&body)?;
    // Who has the invitation may hear the answer again. Without one, anybody could ask for it.
    let once = match &invite {
        Some(invite) => once(&headers, "/v1/accounts", invite.0.as_bytes(), &body)?,
        None => key(&headers).map(|_| None)?,
    };
    let token = Token(random());
    let by = match &invite {
        Some(_) if on_paper => SignedInBy::Paper,
        Some(_) => SignedInBy::Invitation,
        None => SignedInBy::First,
    };
    let new = NewSignIn {
        invite,
        new: app.tenants.new_accounts(app.quota_bytes),
        device: NewDevice {
            token: token.duplicate(),
            device: random(),
            name,
            by,
            now: app.vault.now(),
        },
        first_is_free: app.first_is_free,
    };
    let signed_in = app
        .vault
        .run_once(once.map(Arc::new), move |sql| {
            let account = account::sign_in(sql, &new)?;
            // It may run again.
            let token = token.duplicate();
            Ok(account.map(|account| SignedIn { account, token }))
        })
        .await?;
    Ok(answer(StatusCode::CREATED, &signed_in))
}

/// Whose token this is, and how much of the quota is used.
async fn account(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let (used_bytes, quota_bytes) = app
        .vault
        .run(move |sql| account::usage(sql, &account))
        .await?;
    let account = Account {
        account,
        used_bytes,
        quota_bytes,
    };
    Ok(answer(StatusCode::OK, &account))
}

/// Invites another device into the account.
async fn invite(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    let token = bearer(&headers)?.ok_or(Code::SignInNeeded)?;
    let account = app.signed_in(&headers).await?;
    let once = once_of_token(&headers, "/v1/invitations", &token, b"")?;
    let invite = Invite(random());
    let now = app.vault.now();
    let invitation = app
        .vault
        .run_once(once.map(Arc::new), move |sql| {
            let invited = account::invite_by(sql, &token, &account, &invite, now)?;
            let invite = invite.clone();
            Ok(invited.map(|()| Invitation { invite }))
        })
        .await?;
    Ok(answer(StatusCode::CREATED, &invitation))
}

/// Ends this sign-in.
async fn sign_out(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    let token = bearer(&headers)?.ok_or(Code::SignInNeeded)?;
    let ended = app
        .vault
        .run(move |sql| device::sign_out(sql, &token))
        .await?;
    if !ended {
        return Err(Code::SignInNeeded.into());
    }
    Ok(answer(StatusCode::OK, &Nothing {}))
}
