//! What goes out: pages, refusals in words, and the guards on each of them.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

const NOTICE: &str = include_str!("../page/notice.html");

pub(super) const HTML: &str = "text/html; charset=utf-8";

/// On every answer, also on refusals.
const HEADERS: [(&str, &str); 10] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; \
         frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
    ("x-frame-options", "DENY"),
    (
        "permissions-policy",
        "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), geolocation=(), \
         microphone=(), payment=(), usb=(), serial=(), hid=(), display-capture=()",
    ),
    ("x-robots-tag", "noindex"),
];

pub(super) type Answer = Response<Full<Bytes>>;

/// Why a request got nothing. The words are for a person who looks at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Host,
    Origin,
    Cookie,
    Key,
    Token,
    Opened,
    Used,
    Malformed,
    TooLong,
    Method,
    NotFound,
}

impl Refused {
    const fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Host => (
                StatusCode::MISDIRECTED_REQUEST,
                "This address is not served here",
                "Heirloom's page is opened by Heirloom, and by no other name.",
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "This request came from another page",
                "Only Heirloom's own page may ask.",
            ),
            Self::Cookie | Self::Key => (
                StatusCode::FORBIDDEN,
                "This page is opened from Heirloom",
                "Go back to Heirloom. It opens the page for you.",
            ),
            Self::Token => (
                StatusCode::FORBIDDEN,
                "This page was not opened by Heirloom",
                "Go back to Heirloom. It opens the page for you.",
            ),
            Self::Opened => (
                StatusCode::GONE,
                "This page was opened already",
                "It opens once. Look for its other tab, or go back to Heirloom and start again.",
            ),
            Self::Used => (
                StatusCode::CONFLICT,
                "This answer was used already",
                "Each answer is taken once.",
            ),
            Self::Malformed => (
                StatusCode::BAD_REQUEST,
                "This could not be read",
                "Go back to Heirloom and start again.",
            ),
            Self::TooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "This is too long",
                "Go back to Heirloom and start again.",
            ),
            Self::Method | Self::NotFound => (
                StatusCode::NOT_FOUND,
                "There is nothing here",
                "Go back to Heirloom. It opens the page for you.",
            ),
        }
    }

    pub(super) fn answer(self) -> Answer {
        let (status, title, text) = self.words();
        let page = NOTICE.replace("{{title}}", title).replace("{{text}}", text);
        let mut answer = plain(HTML, &page);
        *answer.status_mut() = status;
        answer
    }
}

pub(super) fn plain(content_type: &'static str, body: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    let content_type = HeaderValue::from_static(content_type);
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    guarded(answer)
}

pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    guarded(answer)
}

fn guarded(mut answer: Answer) -> Answer {
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}
