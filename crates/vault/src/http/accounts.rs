//! `POST /v1/accounts`, `GET /v1/account`, `POST /v1/invitations`, `DELETE /v1/session`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use heirloom_vault_api::{Account, Code, Invitation, Invite, SignIn, SignedIn, Token};
use serde_json::json as object;

use super::{Peer, Shared, answer, bearer, json};
use crate::refusal::Refusal;
use crate::store::account::{self, NewSignIn};
use crate::vault::random;

/// Opens an account, or lets a device into one.
pub(super) async fn sign_in(
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
pub(super) async fn account(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
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
pub(super) async fn invite(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let invite = Invite(random());
    let (given, now) = (invite.clone(), app.vault.now());
    app.vault
        .run(move |sql| account::invite(sql, &given, Some(account), now))
        .await?;
    Ok(answer(StatusCode::CREATED, &Invitation { invite }))
}

/// Ends this sign-in.
pub(super) async fn sign_out(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    let token = bearer(&headers)?.ok_or(Code::SignInNeeded)?;
    let ended = app
        .vault
        .run(move |sql| account::sign_out(sql, &token))
        .await?;
    if !ended {
        return Err(Code::SignInNeeded.into());
    }
    Ok(answer(StatusCode::OK, &object!({})))
}
