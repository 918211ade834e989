//! The table of routes: every one is listed with what it asks of its caller, and the router is made from the list alone. A test walks the
//! table and calls each route as nobody, as a stranger and as the lowest role, so that no new route is forgotten.

use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{MethodFilter, any, on},
};

use crate::app::App;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Nothing: probes, pages that begin a sign-in, and what carries its own proof, such as a SAML response.
    Open,
    /// The session of a person.
    Session,
    /// The bearer of a connection.
    ScimToken,
}

/// One route as it is known to tests and documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub method: Method,
    /// As the router takes it: `/connections/{slug}/saml/acs`.
    pub path: String,
    pub entry: Entry,
}

/// Routes while they are gathered.
#[derive(Debug, Default)]
pub struct Routes {
    router: Router<App>,
    table: Vec<Listed>,
}

impl Routes {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn add<T: 'static>(mut self, method: Method, path: &'static str, entry: Entry, handler: impl Handler<T, App>) -> Self {
        let filter = MethodFilter::try_from(method.clone()).expect("a route has one of the nine methods of HTTP");
        self.router = self.router.route(path, on(filter, handler));
        self.table.push(Listed { method, path: path.to_owned(), entry });
        self
    }

    /// A path that answers every method alike; the table lists the two that stand for reading and changing.
    #[must_use]
    pub fn add_any<T: 'static>(mut self, path: &'static str, entry: Entry, handler: impl Handler<T, App>) -> Self {
        self.router = self.router.route(path, any(handler));
        self.table.extend([Method::GET, Method::POST].map(|method| Listed { method, path: path.to_owned(), entry }));
        self
    }

    /// Puts the routes of a protocol below a path, with its own answers to paths and methods that it does not have.
    #[must_use]
    pub fn nest<T: 'static, U: 'static>(
        mut self,
        prefix: &'static str,
        inner: Self,
        unknown: impl Handler<T, App>,
        wrong_method: impl Handler<U, App>,
    ) -> Self {
        let router = inner.router.fallback(unknown).method_not_allowed_fallback(wrong_method);
        self.router = self.router.nest(prefix, router);
        self.table.extend(inner.table.into_iter().map(|listed| Listed { path: format!("{prefix}{}", listed.path), ..listed }));
        self
    }

    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.table.extend(other.table);
        self
    }

    #[must_use]
    pub fn table(&self) -> &[Listed] {
        &self.table
    }

    pub(super) fn into_router(self) -> Router<App> {
        self.router
    }
}
