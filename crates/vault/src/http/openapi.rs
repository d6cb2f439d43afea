//! Routes that know what they do: a route without its description cannot be written, so the OpenAPI
//! document (3.1) is whole by construction. It is served at `/v1/openapi.json` and lies in `docs/openapi.json`.

mod document;
mod operation;

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use utoipa::openapi::path::{HttpMethod, Paths};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{RefOr, Response};

pub(crate) use self::document::document;
pub(crate) use self::operation::{Nothing, Op, op};
use super::App;

/// Routes of one kind, each with its operation.
pub(crate) struct Routes {
    router: Router<Arc<App>>,
    paths: Paths,
    parts: Parts,
}

/// Named schemas, as `utoipa` collects them.
type Schemas = Vec<(String, RefOr<Schema>)>;

/// What operations refer to by name.
#[derive(Default)]
pub(crate) struct Parts {
    schemas: Schemas,
    responses: Vec<(String, Response)>,
}

impl Parts {
    fn extend(&mut self, other: Self) {
        let Self { schemas, responses } = other;
        self.schemas.extend(schemas);
        self.responses.extend(responses);
    }
}

impl Routes {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            router: Router::new(),
            paths: Paths::new(),
            parts: Parts::default(),
        }
    }

    /// Answers `GET` (and so `HEAD`) at `path`.
    pub(crate) fn get<H, T>(self, path: &str, handler: H, op: Op) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.with(path, MethodFilter::GET, HttpMethod::Get, handler, op)
    }

    /// Answers `POST` at `path`.
    pub(crate) fn post<H, T>(self, path: &str, handler: H, op: Op) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.with(path, MethodFilter::POST, HttpMethod::Post, handler, op)
    }

    /// Answers `PUT` at `path`.
    pub(crate) fn put<H, T>(self, path: &str, handler: H, op: Op) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.with(path, MethodFilter::PUT, HttpMethod::Put, handler, op)
    }

    /// Answers `PATCH` at `path`.
    pub(crate) fn patch<H, T>(self, path: &str, handler: H, op: Op) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.with(path, MethodFilter::PATCH, HttpMethod::Patch, handler, op)
    }

    /// Answers `DELETE` at `path`.
    pub(crate) fn delete<H, T>(self, path: &str, handler: H, op: Op) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.with(path, MethodFilter::DELETE, HttpMethod::Delete, handler, op)
    }

    fn with<H, T>(
        self,
        path: &str,
        filter: MethodFilter,
        method: HttpMethod,
        handler: H,
        op: Op,
    ) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let Self {
            router,
            mut paths,
            mut parts,
        } = self;
        let (operation, more) = op.built();
        // A wildcard of the router is a plain parameter of the document.
        paths.add_path_operation(path.replace("{*", "{"), vec![method], operation);
        parts.extend(more);
        Self {
            router: router.route(path, on(filter, handler)),
            paths,
            parts,
        }
    }

    /// Both.
    pub(crate) fn merge(self, other: Self) -> Self {
        let Self {
            router,
            mut paths,
            mut parts,
        } = self;
        paths.merge(other.paths);
        parts.extend(other.parts);
        Self {
            router: router.merge(other.router),
            paths,
            parts,
        }
    }

    /// The router, and what the document says.
    pub(crate) fn split(self) -> (Router<Arc<App>>, Paths, Parts) {
        let Self {
            router,
            paths,
            parts,
        } = self;
        (router, paths, parts)
    }
}

#[cfg(test)]
mod tests;
