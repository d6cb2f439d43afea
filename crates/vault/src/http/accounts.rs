//! `POST /v1/accounts`, `GET /v1/account`, `POST /v1/invitations`, `DELETE /v1/session`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use heirloom_vault_api::{Account, Code, Invitation, Invite, SignIn, SignedIn, Token};

use super::openapi::{Nothing, Routes, op};
use super::{Peer, Shared, answer, bearer, json};
use crate::refusal::Refusal;
use crate::store::account::{self, NewSignIn};
use crate::vault::random;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .post(
            "/v1/accounts",
            sign_in,
            op("signIn", "Opens an account, or lets a device into one")
                .takes::<SignIn>()
                .answers::<SignedIn>(201)
                .refuses(&[Code::SignInNeeded, Code::OutcomeUnknown]),
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
                .answers::<Invitation>(201),
        )
}

/// Opens an account, or lets a device into one.
async fn sign_in(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app.limit_guesses(peer)?;
    let SignIn { invite } = json(&headers, body).await?;
    let token = Token(random());
    let new = NewSignIn {
        invite,
        account: random(),
        token: token.clone(),
        quota_bytes: app.quota_bytes,
        first_is_free: app.first_is_free,
        now: app.vault.now(),
    };
    let account = app
        .vault
        .run(move |sql| account::sign_in(sql, &new))
        .await?
        .ok_or(Code::SignInNeeded)?;
    Ok(answer(StatusCode::CREATED, &SignedIn { account, token }))
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
    let account = app.signed_in(&headers).await?;
    let invite = Invite(random());
    let (given, now) = (invite.clone(), app.vault.now());
    app.vault
        .run(move |sql| account::invite(sql, &given, Some(account), now))
        .await?;
    Ok(answer(StatusCode::CREATED, &Invitation { invite }))
}

/// Ends this sign-in.
async fn sign_out(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    let token = bearer(&headers)?.ok_or(Code::SignInNeeded)?;
    let ended = app
        .vault
        .run(move |sql| account::sign_out(sql, &token))
        .await?;
    if !ended {
        return Err(Code::SignInNeeded.into());
    }
    Ok(answer(StatusCode::OK, &Nothing {}))
}
