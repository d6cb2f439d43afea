//! Signing in with a passkey, on this server's own page, and with a messenger's word. `docs/vault.md`, section 7.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use heirloom_vault_api::{
    Code, DeviceName, ElsewhereStart, ElsewhereStarted, Fixed, MAX_PAGE_BYTES, PageAnswer,
    PageCode, PageCreate, PageOptions, PageSession, PasskeyList, SignInFinish, SignInStart,
    SignInStarted, SignedIn, SignedInBy, Token, TokenSignIn,
};

use super::openapi::{Nothing, Routes, op};
use super::{App, Asked, Part, Peer, Shared, answer, json, json_within};
use crate::accounts::handover::Of;
use crate::accounts::passkey::{registered, signed};
use crate::accounts::tickets::{Aim, Outcome, Question};
use crate::accounts::{Site, Tenant};
use crate::refusal::Refusal;
use crate::store::passkey::NewPasskey;
use crate::store::{account, device, passkey};
use crate::vault::random;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .post(
            "/v1/signin/start",
            start,
            op("startSignIn", "Begins a sign-in with a passkey")
                .takes::<SignInStart>()
                .answers::<SignInStarted>(201)
                .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/signin/elsewhere",
            start_elsewhere,
            op(
                "startSignInElsewhere",
                "Begins a sign-in with a passkey on another device",
            )
            .takes::<ElsewhereStart>()
            .answers::<ElsewhereStarted>(201)
            .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/signin/options",
            options,
            op("signInOptions", "What the page asks the browser for")
                .takes::<PageSession>()
                .answers::<PageOptions>(200)
                .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/signin/answer",
            answered,
            op("signInAnswer", "What the browser answered the page")
                .takes::<PageAnswer>()
                .answers::<PageCode>(200)
                .refuses(&[Code::NotFound, Code::NotLetIn]),
        )
        .post(
            "/v1/signin/finish",
            finish,
            op("finishSignIn", "Signs in with what the page handed over")
                .takes::<SignInFinish>()
                .answers::<SignedIn>(201)
                .refuses(&[Code::NotLetIn, Code::TooManyDevices, Code::OutcomeUnknown]),
        )
        .post(
            "/v1/signin/token",
            token,
            op("tokenSignIn", "Signs in with a messenger's signed token")
                .takes::<TokenSignIn>()
                .answers::<SignedIn>(201)
                .refuses(&[
                    Code::NotFound,
                    Code::NotLetIn,
                    Code::TooManyDevices,
                    Code::OutcomeUnknown,
                ]),
        )
        .post(
            "/v1/passkeys/start",
            start_saving,
            op("startPasskey", "Begins to save a passkey that signs in")
                .signed_in()
                .takes::<SignInStart>()
                .answers::<SignInStarted>(201)
                .refuses(&[Code::NotFound, Code::TooManyDevices]),
        )
        .post(
            "/v1/passkeys",
            save,
            op("savePasskey", "Keeps the passkey that the page made")
                .signed_in()
                .takes::<SignInFinish>()
                .answers::<PasskeyList>(201)
                .refuses(&[Code::NotLetIn, Code::TooManyDevices, Code::Conflict]),
        )
        .get(
            "/v1/passkeys",
            list,
            op("passkeys", "The passkeys that sign in to the account")
                .signed_in()
                .answers::<PasskeyList>(200),
        )
        .delete(
            "/v1/passkeys/{passkey}",
            remove,
            op("removePasskey", "This passkey signs in no more")
                .signed_in()
                .of_path::<Fixed<16>>("passkey", "The passkey's id in the list")
                .answers::<Nothing>(200)
                .refuses(&[Code::NotFound]),
        )
}

impl App {
    fn site(tenant: Option<&Tenant>) -> Result<(Tenant, Site), Refusal> {
        let tenant = tenant.ok_or(Code::NotFound)?;
        let site = tenant.site.clone().ok_or(Code::NotFound)?;
        Ok((tenant.clone(), site))
    }

    fn begin(
        &self,
        site: &Site,
        challenge: Fixed<32>,
        question: Question,
    ) -> Result<Response, Refusal> {
        let session = random();
        let page = site.page().ok_or(Code::NotFound)?;
        self.tickets
            .begin(session, challenge, question, self.vault.now());
        let started = SignInStarted { session, page };
        Ok(answer(StatusCode::CREATED, &started))
    }

    fn new_device(&self, name: Option<DeviceName>, by: SignedInBy) -> device::NewDevice {
        device::NewDevice {
            token: Token(random()),
            device: random(),
            name,
            by,
            now: self.vault.now(),
        }
    }
}

async fn start(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app.limit_guesses(peer)?;
    let SignInStart { tenant, challenge } = json(&headers, body).await?;
    let (tenant, site) = App::site(app.tenants.named(tenant.as_ref()))?;
    let question = Question {
        tenant: tenant.name,
        aim: Aim::SignIn { elsewhere: None },
        challenge: random(),
    };
    app.begin(&site, challenge, question)
}

async fn start_elsewhere(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app.limit_guesses(peer)?;
    let ElsewhereStart {
        tenant,
        challenge,
        name,
        keys,
    } = json(&headers, body).await?;
    let (tenant, site) = App::site(app.tenants.named(tenant.as_ref()))?;
    let (session, now) = (random(), app.vault.now());
    let handover = app.begin_handover(Of::SignIn(session), keys)?;
    let question = Question {
        tenant: tenant.name,
        aim: Aim::SignIn {
            elsewhere: Some(name),
        },
        challenge: random(),
    };
    app.tickets.begin(session, challenge, question, now);
    let started = ElsewhereStarted {
        session,
        site: super::handovers::ceremony_site(site)?,
        handover,
    };
    Ok(answer(StatusCode::CREATED, &started))
}

async fn start_saving(
    State(app): Shared,
    Asked {
        account,
        what: SignInStart {
            tenant: _,
            challenge,
        },
    }: Asked<SignInStart>,
) -> Result<Response, Refusal> {
    let (of, has_room, exclude) = app
        .vault
        .run(move |sql| {
            Ok((
                account::tenant(sql, &account)?,
                passkey::has_room(sql, &account)?,
                passkey::ids(sql, &account)?,
            ))
        })
        .await?;
    if !has_room {
        return Err(Code::TooManyDevices.into());
    }
    let (tenant, site) = App::site(app.tenants.named(of.as_ref()))?;
    let question = Question {
        tenant: tenant.name,
        aim: Aim::Save {
            account,
            handle: random(),
            exclude,
        },
        challenge: random(),
    };
    app.begin(&site, challenge, question)
}

async fn options(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let PageSession { session } = json(&headers, body).await?;
    let now = app.vault.now();
    let question = app.tickets.question(&session, now).ok_or(Code::NotFound)?;
    let (_, site) = App::site(app.tenants.named(Some(&question.tenant)))?;
    let (create, device) = match question.aim {
        Aim::SignIn { elsewhere } => (None, elsewhere),
        Aim::Save {
            account: _,
            handle,
            exclude,
        } => {
            let create = PageCreate {
                user_id: handle,
                // Read on the day it might be deleted: it is no passkey of a backup.
                user_name: format!("Sign in to {}", site.rp_name),
                exclude: exclude
                    .into_iter()
                    .filter_map(heirloom_vault_api::Bytes::new)
                    .collect(),
            };
            (Some(create), None)
        }
    };
    let options = PageOptions {
        rp_id: site.rp_id,
        rp_name: site.rp_name,
        challenge: question.challenge,
        create,
        device,
    };
    Ok(answer(StatusCode::OK, &options))
}

async fn answered(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app.limit_guesses(peer)?;
    let given: PageAnswer = json_within(&headers, body, MAX_PAGE_BYTES).await?;
    let now = app.vault.now();
    let session = given.session;
    let question = app.tickets.answered(&session, now).ok_or(Code::NotFound)?;
    let outcome = outcome(&app, question, given).await?;
    let code = random();
    app.tickets.keep(&session, code, outcome, now);
    Ok(answer(StatusCode::OK, &PageCode { code }))
}

/// Verifies what the page sent.
async fn outcome(app: &App, question: Question, given: PageAnswer) -> Result<Outcome, Refusal> {
    let PageAnswer {
        session: _,
        id,
        client_data,
        attestation,
        assertion,
    } = given;
    let (tenant, site) = App::site(app.tenants.named(Some(&question.tenant)))?;
    let refused = |_| Refusal::from(Code::NotLetIn);
    let (id, client_data) = (id.into_bytes(), client_data.as_bytes());
    match (question.aim, attestation, assertion) {
        (
            Aim::Save {
                account,
                handle,
                exclude,
            },
            Some(attestation),
            None,
        ) => {
            let made = registered(
                &site,
                &question.challenge,
                &id,
                client_data,
                attestation.as_bytes(),
                &exclude,
            )
            .map_err(refused)?;
            Ok(Outcome::Saved(Box::new(NewPasskey {
                tenant: tenant.name,
                account,
                passkey: random(),
                credential: id,
                handle,
                public_key: made.public_key,
                counter: made.counter,
                eligible: made.eligible,
            })))
        }
        (Aim::SignIn { elsewhere }, None, Some(assertion)) => {
            let (of, key) = (tenant.name.clone(), id.clone());
            let found = app
                .vault
                .run(move |sql| passkey::find(sql, &of, &key))
                .await?;
            // A passkey of a backup, say, or of another tenant.
            let stored = found.ok_or(Code::NotLetIn)?;
            let challenge = &question.challenge;
            let counter =
                signed(&site, challenge, &id, client_data, &assertion, &stored).map_err(refused)?;
            let now = app.vault.now();
            let (of, key) = (tenant.name.clone(), id.clone());
            let is_used = app
                .vault
                .run(move |sql| passkey::used(sql, &of, &key, counter, now))
                .await?;
            if !is_used {
                return Err(Code::NotLetIn.into());
            }
            Ok(Outcome::SignedIn {
                account: stored.account,
                credential: id,
                tenant: tenant.name,
                elsewhere,
            })
        }
        _ => Err(Code::BadRequest.into()),
    }
}

async fn finish(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app.limit_guesses(peer)?;
    let SignInFinish {
        session,
        code,
        verifier,
        name,
    } = json(&headers, body).await?;
    let finished = app
        .tickets
        .finish(&session, &code, &verifier, app.vault.now())?;
    let Outcome::SignedIn {
        account,
        credential,
        tenant,
        elsewhere,
    } = finished
    else {
        return Err(Code::NotLetIn.into());
    };
    let new = match elsewhere {
        // The list says what the page said: another name would hide who was let in.
        Some(shown) => app.new_device(Some(shown), SignedInBy::PasskeyElsewhere),
        None => app.new_device(name, SignedInBy::Passkey),
    };
    let token = new.token.duplicate();
    let signed_in = app.vault.run(move |sql| {
        let stored = passkey::find(sql, &tenant, &credential)?;
        if stored.is_none_or(|stored| stored.account != account) {
            return Ok(Err(Code::NotLetIn));
        }
        if !device::has_room(sql, &account)? {
            return Ok(Err(Code::TooManyDevices));
        }
        device::insert(sql, &account, &new)?;
        Ok(Ok(()))
    });
    signed_in.await??;
    Ok(answer(StatusCode::CREATED, &SignedIn { account, token }))
}

async fn save(
    State(app): Shared,
    Asked {
        account,
        what:
            SignInFinish {
                session,
                code,
                verifier,
                name,
            },
    }: Asked<SignInFinish>,
) -> Result<Response, Refusal> {
    let now = app.vault.now();
    let finished = app.tickets.finish(&session, &code, &verifier, now)?;
    let new = match finished {
        // Whoever began it ends it.
        Outcome::Saved(new) if new.account == account => new,
        Outcome::Saved(_) | Outcome::SignedIn { .. } => return Err(Code::NotLetIn.into()),
    };
    let kept = app
        .vault
        .run(move |sql| {
            if !passkey::has_room(sql, &account)? {
                return Ok(Err(Code::TooManyDevices));
            }
            if !passkey::insert(sql, &new, name.as_ref(), now)? {
                return Ok(Err(Code::Conflict));
            }
            passkey::list(sql, &account).map(Ok)
        })
        .await?;
    let list = PasskeyList { passkeys: kept? };
    Ok(answer(StatusCode::CREATED, &list))
}

async fn list(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let passkeys = app
        .vault
        .run(move |sql| passkey::list(sql, &account))
        .await?;
    Ok(answer(StatusCode::OK, &PasskeyList { passkeys }))
}

async fn remove(
    State(app): Shared,
    Part(name): Part,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let passkey = Fixed::parse(&name).map_err(|_| Code::NotFound)?;
    let removed = app
        .vault
        .run(move |sql| passkey::remove(sql, &account, &passkey))
        .await?;
    if !removed {
        return Err(Code::NotFound.into());
    }
    Ok(answer(StatusCode::OK, &Nothing {}))
}

async fn token(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app.limit_guesses(peer)?;
    let TokenSignIn { tenant, jwt, name } = json_within(&headers, body, MAX_PAGE_BYTES).await?;
    let tenant = app.tenants.named(Some(&tenant)).ok_or(Code::NotFound)?;
    let now = app.vault.now();
    let subject = app.messengers.subject(tenant, &jwt, now).await?;
    let subject = app.vault.subject(&tenant.name, &subject);
    let account = tenant.new_account(app.quota_bytes);
    let new = app.new_device(name, SignedInBy::Messenger);
    let token = new.token.duplicate();
    let account = app
        .vault
        .run(move |sql| account::by_subject(sql, &subject, &account, &new))
        .await??;
    Ok(answer(StatusCode::CREATED, &SignedIn { account, token }))
}
