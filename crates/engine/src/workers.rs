//! Threads with a name, so that a profile and a debugger say what each does.

use std::thread::{Builder, Scope};

use crate::error::EngineError;

/// Starts a worker in a scope.
pub(crate) fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() + Send + 'scope,
) -> Result<(), EngineError> {
    Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, work)
        .map(|_| ())
        .map_err(|source| EngineError::Local {
            path: "a worker of this run".into(),
            source,
        })
}
