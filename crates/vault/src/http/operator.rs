//! The second port, for the operator alone: does it live, can it answer, and its numbers.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Serialize;

use crate::blobs::Blobs;
use crate::metrics::Metrics;
use crate::rollout::{Rollout, Standing};
use crate::vault::Vault;

/// What its routes look at.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) vault: Arc<Vault>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) rollout: Arc<Rollout>,
    pub(crate) metrics: Arc<Metrics>,
}

type Shared = State<Arc<Operator>>;

/// Every route of the second port.
pub(crate) fn router(operator: Operator) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(operator))
}

/// What a look at everything found.
#[derive(Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent answers, as the JSON has them"
)]
struct Readiness {
    ready: bool,
    /// It takes a durable write.
    database: bool,
    /// They seal and open: an HSM answers.
    keys: bool,
    /// Where objects lie can be reached.
    objects: bool,
    /// The rules in the file are those in force. A server whose rules are broken is ready: everything opens.
    rollout: bool,
    /// Why they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout_fault: Option<String>,
    /// Which stay in force then; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout_version: Option<u64>,
}

async fn ready(State(operator): Shared) -> Response {
    let Operator {
        vault,
        blobs,
        rollout,
        metrics,
    } = &*operator;
    // At a time, each in a bounded one: whoever asks hears what hangs.
    let (database, keys, objects) =
        tokio::join!(vault.is_writable(), vault.has_keys(), blobs.is_reachable());
    let ready = database && keys && objects;
    metrics.looked(ready);
    let Standing { version, fault } = rollout.standing();
    let found = Readiness {
        ready,
        database,
        keys,
        objects,
        rollout: fault.is_none(),
        rollout_version: fault.is_some().then_some(version),
        rollout_fault: fault,
    };
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = serde_json::to_string(&found).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn metrics(State(operator): Shared) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], operator.metrics.text()).into_response()
}
