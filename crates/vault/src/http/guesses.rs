//! `POST /v1/guesses`, `POST /v1/proofs`.
//!
//! Strangers may ask. An unknown record has the same statuses, lengths, lock-out and work as a known one.

use std::sync::{Arc, OnceLock};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use heirloom_vault_api::{Code, Evaluated, GuessStart, Proof, Proved};

use super::openapi::{Routes, op};
use super::{Peer, Shared, answer, bearer, json, live};
use crate::metrics::Guessed;
use crate::refusal::Refusal;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .post(
            "/v1/guesses",
            guess,
            op(
                "guess",
                "Asks for one evaluation; it counts from the moment the vault has it",
            )
            .maybe_signed_in()
            .takes::<GuessStart>()
            .answers::<Evaluated>(200)
            .refuses(&[
                Code::UnsupportedSuite,
                Code::Wait,
                Code::LockedOut,
                Code::Destroyed,
                Code::NotFound,
            ]),
        )
        .post(
            "/v1/proofs",
            prove,
            op(
                "prove",
                "Shows that the password was right; gives the guesses back",
            )
            .takes::<Proof>()
            .answers::<Proved>(200)
            .refuses(&[Code::NotProven, Code::OutcomeUnknown]),
        )
}

async fn guess(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app.limit_guesses(peer)?;
    let start = json(&headers, body).await?;
    let token = bearer(&headers)?;
    let (asked, now) = (Arc::clone(&app), app.vault.now());
    // The transaction may run more than once: the request is one of the account's all the same.
    let limited = OnceLock::new();
    let evaluated = app
        .vault
        .guess_by(start, move |sql| {
            let Some(token) = &token else {
                return Ok(Ok(None));
            };
            let account = match live(asked.find_token(sql, token, now)?) {
                Ok((account, _)) => account,
                Err(code) => return Ok(Err(code.into())),
            };
            let limited = limited.get_or_init(|| asked.limit_account(account));
            Ok(limited.clone().map(|()| Some(account)))
        })
        .await;
    app.metrics.guessed(match &evaluated {
        Ok(_) => Guessed::Answered,
        Err(refusal) if refusal.problem.code == Code::OutcomeUnknown => Guessed::Unknown,
        Err(_) => Guessed::Refused,
    });
    Ok(answer(StatusCode::OK, &evaluated?))
}

async fn prove(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let proof = json(&headers, body).await?;
    let proved = app.vault.prove(proof).await?;
    app.metrics.guessed(Guessed::Proven);
    Ok(answer(StatusCode::OK, &proved))
}
