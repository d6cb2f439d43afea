//! `POST /v1/offers`: what a signed-in account may add. Nothing that opens asks here.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use heirloom_rollout::Asker;
use heirloom_vault_api::{AskOffers, Code, Offers};

use super::openapi::{Routes, op};
use super::{Asked, Shared, answer};
use crate::refusal::Refusal;
use crate::store::account;

/// The longest name of a platform and of a version.
const MAX_WORD_BYTES: usize = 64;

pub(crate) fn routes() -> Routes {
    Routes::new().post(
        "/v1/offers",
        offers,
        op(
            "offers",
            "What may be added, by the operator's rules; what was added before always opens",
        )
        .signed_in()
        .takes::<AskOffers>()
        .answers::<Offers>(200)
        .refuses(&[Code::Unavailable]),
    )
}

async fn offers(
    State(app): Shared,
    Asked { account, what }: Asked<AskOffers>,
) -> Result<Response, Refusal> {
    let AskOffers {
        platform,
        version,
        nonce,
    } = what;
    let is_word = |word: &str| {
        word.len() <= MAX_WORD_BYTES && word.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !is_word(&platform) || !is_word(&version) {
        return Err(Code::BadRequest.into());
    }
    let tenant = app
        .vault
        .run(move |sql| account::tenant(sql, &account))
        .await?
        .map(|tenant| tenant.as_str().to_owned());
    let asker = Asker {
        key: Some(account.to_text()),
        tenant,
        region: None,
        platform: Some(platform),
        version: Some(version),
    };
    let (stamp, offers) = app.rollout.offers(asker).ok_or(Code::Unavailable)?;
    let offers = Offers::sign(app.vault.keys().identity(), account, stamp, offers, &nonce);
    Ok(answer(StatusCode::OK, &offers))
}
