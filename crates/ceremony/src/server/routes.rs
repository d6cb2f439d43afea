//! The routes. `docs/ceremony.md`, section 2.

use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};

use super::reply::{Answer, HTML, Refused, empty, plain};
use crate::message::{MESSAGE_BYTES, Message};
use crate::state::{Shared, Taken};

const PAGE: &str = include_str!("../page/page.html");
const SCRIPT: &str = include_str!("../page/ceremony.js");
const STYLE: &str = include_str!("../page/ceremony.css");

/// How long a poll stays open when there is nothing new.
const POLL_TIME: Duration = Duration::from_secs(20);
const BODY_TIME: Duration = Duration::from_secs(10);
const FORM_BYTES: usize = 256;

const JSON: &str = "application/json";

/// Answers one request. Whoever asks is untrusted: any program on this computer, and any page, can.
pub(super) async fn answer(shared: &Shared, request: Request<Incoming>) -> Answer {
    match route(shared, request).await {
        Ok(answer) => answer,
        Err(refused) => refused.answer(),
    }
}

async fn route(shared: &Shared, request: Request<Incoming>) -> Result<Answer, Refused> {
    if let Some(redirect) = host(shared, &request)? {
        return Ok(redirect);
    }
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/ceremony.js") => Ok(plain("text/javascript; charset=utf-8", SCRIPT)),
        (&Method::GET, "/ceremony.css") => Ok(plain("text/css; charset=utf-8", STYLE)),
        (&Method::GET, "/favicon.ico") => Ok(empty(StatusCode::NO_CONTENT)),
        (&Method::GET, "/") => {
            cookie(shared, headers)?;
            Ok(plain(HTML, &PAGE.replace("{{key}}", "")))
        }
        // Where the browser comes back to from a server's page. A cookie does not come along on such a way: the page is
        // the same for all, and its script has the key, or it has nothing.
        (&Method::GET, "/back") => Ok(plain(HTML, &PAGE.replace("{{key}}", ""))),
        (&Method::POST, "/open") => {
            navigated(headers)?;
            content_type(headers, "application/x-www-form-urlencoded")?;
            open(shared, &read(body, FORM_BYTES).await?)
        }
        (&Method::GET, "/next") => {
            page(shared, headers, false)?;
            let after = match parts.uri.query() {
                None => None,
                Some(query) => Some(
                    query
                        .strip_prefix("after=")
                        .and_then(|after| after.parse().ok())
                        .ok_or(Refused::Malformed)?,
                ),
            };
            Ok(next(shared, after).await)
        }
        (&Method::POST, "/answer") => {
            page(shared, headers, true)?;
            content_type(headers, JSON)?;
            let message = Message::read(&read(body, MESSAGE_BYTES).await?);
            shared.alive();
            match shared.answer(message.ok_or(Refused::Malformed)?) {
                Taken::Yes => Ok(empty(StatusCode::NO_CONTENT)),
                Taken::Used => Err(Refused::Used),
            }
        }
        (&Method::POST, "/leaving") => {
            page(shared, headers, true)?;
            shared.leaving();
            Ok(empty(StatusCode::NO_CONTENT))
        }
        (
            _,
            "/" | "/back" | "/ceremony.js" | "/ceremony.css" | "/open" | "/next" | "/answer"
            | "/leaving",
        ) => Err(Refused::Method),
        _ => Err(Refused::NotFound),
    }
}

/// Refuses every name but ours (DNS rebinding), and sends numeric addresses to it.
///
/// A passkey needs the name: "127.0.0.1" is no relying party.
fn host(shared: &Shared, request: &Request<Incoming>) -> Result<Option<Answer>, Refused> {
    let port = shared.port();
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Refused::Host);
    };
    // A request to a proxy names its host in the target as well: nobody sends us one.
    if request.uri().scheme().is_some() || request.uri().authority().is_some() {
        return Err(Refused::Host);
    }
    let host = host.to_str().map_err(|_| Refused::Host)?;
    if host == format!("localhost:{port}") {
        return Ok(None);
    }
    let numeric = [format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
    if request.method() == Method::GET && numeric.iter().any(|ours| ours == host) {
        let to = HeaderValue::from_str(&format!("http://localhost:{port}/"))
            .expect("a number in a fixed text");
        let mut redirect = empty(StatusCode::TEMPORARY_REDIRECT);
        redirect.headers_mut().insert(header::LOCATION, to);
        return Ok(Some(redirect));
    }
    Err(Refused::Host)
}

/// Swaps the token for a cookie and the page's key, once.
fn open(shared: &Shared, form: &[u8]) -> Result<Answer, Refused> {
    let token = std::str::from_utf8(form)
        .ok()
        .and_then(|form| form.strip_prefix("token="))
        .ok_or(Refused::Malformed)?;
    let mut inner = shared.lock();
    let Some(expected) = &inner.token else {
        return Err(Refused::Opened);
    };
    if !expected.is_hex(token) {
        return Err(Refused::Token);
    }
    inner.token = None;
    let key = inner.page.take().ok_or(Refused::Opened)?;
    if let Some(file) = inner.opening.take() {
        // The session removes it in the end as well.
        let _ = std::fs::remove_file(file);
    }
    let cookie = format!(
        "{}={}; HttpOnly; SameSite=Strict; Path=/",
        cookie_name(shared),
        inner.cookie.exposed_hex().as_str()
    );
    drop(inner);
    shared.alive();
    let mut answer = plain(HTML, &PAGE.replace("{{key}}", &key.exposed_hex()));
    let mut cookie = HeaderValue::from_str(&cookie).expect("hexadecimal digits in a fixed text");
    cookie.set_sensitive(true);
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(answer)
}

/// The next view, as soon as there is one.
async fn next(shared: &Shared, after: Option<u64>) -> Answer {
    let _poll = shared.poll();
    let mut turned = shared.watch();
    let end = tokio::time::Instant::now() + POLL_TIME;
    loop {
        turned.mark_unchanged();
        if let Some(view) = shared.view_after(after) {
            return plain(JSON, &view);
        }
        if shared.is_over() {
            return empty(StatusCode::NO_CONTENT);
        }
        if tokio::time::timeout_at(end, turned.changed())
            .await
            .is_err()
        {
            return empty(StatusCode::NO_CONTENT);
        }
    }
}

/// Cookies are shared by all ports of a host, so that another program's page on localhost gets ours
/// too: it opens nothing without the page's own key.
fn page(shared: &Shared, headers: &HeaderMap, writes: bool) -> Result<(), Refused> {
    cookie(shared, headers)?;
    let origin = format!("http://localhost:{}", shared.port());
    let from = headers.get(header::ORIGIN);
    if from.is_some_and(|from| from != origin.as_str()) || (writes && from.is_none()) {
        return Err(Refused::Origin);
    }
    if headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin")
    {
        return Err(Refused::Origin);
    }
    let shown = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Heirloom "));
    if !shown.is_some_and(|shown| shared.lock().bearer.is_hex(shown)) {
        return Err(Refused::Key);
    }
    shared.alive();
    Ok(())
}

fn cookie_name(shared: &Shared) -> String {
    format!("heirloom-{}", shared.port())
}

fn cookie(shared: &Shared, headers: &HeaderMap) -> Result<(), Refused> {
    let name = cookie_name(shared);
    let ours = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split("; "))
        .filter_map(|pair| pair.split_once('='))
        .find(|(given, _)| *given == name);
    match ours {
        Some((_, value)) if shared.lock().cookie.is_hex(value) => Ok(()),
        _ => Err(Refused::Cookie),
    }
}

/// The one request that comes from elsewhere: a form in a file, in a window of its own.
fn navigated(headers: &HeaderMap) -> Result<(), Refused> {
    let told = |name: &'static str, allowed: &[&str]| {
        headers
            .get(name)
            .is_none_or(|value| allowed.iter().any(|one| value == one))
    };
    let fine = told("origin", &["null", "file://"])
        && told("sec-fetch-mode", &["navigate"])
        && told("sec-fetch-dest", &["document"]);
    fine.then_some(()).ok_or(Refused::Origin)
}

fn content_type(headers: &HeaderMap, expected: &str) -> Result<(), Refused> {
    let given = headers.get(header::CONTENT_TYPE);
    given
        .is_some_and(|given| given == expected)
        .then_some(())
        .ok_or(Refused::Malformed)
}

async fn read(body: Incoming, most: usize) -> Result<Bytes, Refused> {
    let body = Limited::new(body, most).collect();
    let read = tokio::time::timeout(BODY_TIME, body).await;
    let read = read.map_err(|_| Refused::Malformed)?;
    Ok(read.map_err(|_| Refused::TooLong)?.to_bytes())
}
