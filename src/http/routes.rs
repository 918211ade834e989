//! The table of routes: every one is listed with what it asks of its caller, and the router is made from the list alone. A test walks the
//! table and calls each route as nobody, as a stranger and as the lowest role, so that no new route is forgotten.

use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{MethodFilter, any, on},
};

use super::operation::Operation;
use crate::app::App;

/// Every route below it is documented.
const API: &str = "/api/v1/";

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Nothing: probes, pages that begin a sign-in, and what carries its own proof, such as a SAML response.
    Open,
    /// The session of a person: pages.
    Session,
    /// Who may look through the API: a session, an API token or an application's token.
    Read,
    /// Who may change through the API: a session with its CSRF token, or an API token.
    Change,
    /// The bearer of a connection.
    ScimToken,
}

/// One route as it is known to tests and documents.
#[derive(Debug, Clone)]
pub struct Listed {
    pub method: Method,
    /// As the router takes it: `/connections/{slug}/saml/acs`.
    pub path: String,
    pub entry: Entry,
    /// Of routes of the API.
    pub documented: Option<Documented>,
}

#[derive(Debug, Clone)]
pub struct Documented {
    pub chapter: Chapter,
    pub operation: Operation,
}

/// Operations that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chapter {
    pub title: &'static str,
    /// A sentence or two.
    pub about: &'static str,
}

/// Routes while they are gathered.
#[derive(Debug, Default)]
pub struct Routes {
    router: Router<App>,
    table: Vec<Listed>,
    chapter: Option<Chapter>,
}

impl Routes {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Routes of the API that belong together.
    #[must_use]
    pub fn chapter(title: &'static str, about: &'static str) -> Self {
        Self { chapter: Some(Chapter { title, about }), ..Self::default() }
    }

    /// A route of the API with its documentation.
    #[must_use]
    pub fn document<T: 'static>(mut self, operation: Operation, handler: impl Handler<T, App>) -> Self {
        let chapter = self.chapter.expect("a documented route stands in a chapter");
        assert!(operation.path.starts_with(API), "{operation:?} is not below {API}");
        assert!(!operation.answers.is_empty(), "{operation:?} says what it answers");
        let (method, path, entry) = (operation.method.clone(), operation.path.to_owned(), operation.entry());
        self.router = self.router.route(operation.path, on(filter(&method), handler));
        self.table.push(Listed { method, path, entry, documented: Some(Documented { chapter, operation }) });
        self
    }

    /// A route without documentation: pages, probes, and protocols that others have described.
    #[must_use]
    pub fn add<T: 'static>(mut self, method: Method, path: &'static str, entry: Entry, handler: impl Handler<T, App>) -> Self {
        assert!(!path.starts_with(API), "{path} is a route of the API: it comes with its documentation");
        self.router = self.router.route(path, on(filter(&method), handler));
        self.table.push(Listed { method, path: path.to_owned(), entry, documented: None });
        self
    }

    /// A path that answers every method alike; the table lists the two that stand for reading and changing.
    #[must_use]
    pub fn add_any<T: 'static>(mut self, path: &'static str, entry: Entry, handler: impl Handler<T, App>) -> Self {
        self.router = self.router.route(path, any(handler));
        self.table.extend([Method::GET, Method::POST].map(|method| Listed { method, path: path.to_owned(), entry, documented: None }));
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

fn filter(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).expect("a route has one of the nine methods of HTTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "comes with its documentation")]
    fn a_route_of_the_api_is_not_added_without_its_documentation() {
        let _ = Routes::new().add(Method::GET, "/api/v1/things", Entry::Read, async || "");
    }

    #[test]
    #[should_panic(expected = "says what it answers")]
    fn a_documented_route_says_what_it_answers() {
        let _ = Routes::chapter("Things", "").document(Operation::get("/api/v1/things", "List things"), async || "");
    }
}
