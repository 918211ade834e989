//! One route of the API as its document describes it: what it takes, what it answers, how it refuses. Written beside the handler and handed
//! to [`super::routes::Routes::document`] together with it.
//!
//! What every route has in common is added here, so that it is neither forgotten nor repeated: 401, 403, 404 of a path with parameters, what
//! reading a body or a query can refuse, and the headers that changes take.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use axum::http::{Method, StatusCode};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{
        Ref, RefOr, Schema,
        path::{Parameter, ParameterIn},
    },
};

use super::routes::Entry;
use crate::{
    domain::capability::Capability,
    policy::action::{self, Action},
};

/// A schema with the name under which the document lists it.
pub type Named = (String, RefOr<Schema>);

/// An answer that is no refusal.
#[derive(Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub words: &'static str,
    pub content: Option<Content>,
}

#[derive(Clone)]
pub struct Content {
    pub media_type: &'static str,
    pub schema: RefOr<Schema>,
}

#[derive(Clone)]
pub struct Operation {
    pub method: Method,
    /// As the router takes it: `/api/v1/connections/{slug}/certificates`.
    pub path: &'static str,
    /// Half a line, such as "List the certificates".
    pub summary: &'static str,
    pub about: Option<&'static str>,
    pub capability: Option<Capability>,
    pub parameters: Vec<Parameter>,
    pub body: Option<RefOr<Schema>>,
    /// A request without it says the same as one with an empty object.
    pub body_is_optional: bool,
    pub answers: Vec<Answer>,
    /// Codes of problem documents, by status.
    pub refusals: BTreeMap<u16, BTreeSet<&'static str>>,
    /// Everything that is referred to.
    pub schemas: Vec<Named>,
    pub version: Version,
    only_reads: bool,
    callers: Callers,
}

/// What an operation has to do with the version of what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    None,
    /// Answers carry an `ETag`.
    Told,
    /// And a change takes `If-Match`.
    Asked,
}

/// Who is let in, of those that the method lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callers {
    All,
    /// No applications.
    People,
    /// People with a session.
    Sessions,
}

impl Operation {
    #[must_use]
    pub fn get(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::GET, path, summary)
    }

    #[must_use]
    pub fn post(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::POST, path, summary)
    }

    #[must_use]
    pub fn put(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::PUT, path, summary)
    }

    #[must_use]
    pub fn patch(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::PATCH, path, summary)
    }

    #[must_use]
    pub fn delete(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::DELETE, path, summary)
    }

    fn new(method: Method, path: &'static str, summary: &'static str) -> Self {
        let refusals = BTreeMap::from([
            (401, BTreeSet::from(["unauthenticated"])),
            (403, BTreeSet::from(["not_in_token", "network_not_allowed", "self_service"])),
            (500, BTreeSet::from(["internal"])),
            (503, if method == Method::GET { BTreeSet::from(["unavailable"]) } else { BTreeSet::from(["unavailable", "may_be_written"]) }),
        ]);
        let operation = Self {
            method,
            path,
            summary,
            about: None,
            capability: None,
            parameters: Vec::new(),
            body: None,
            body_is_optional: false,
            answers: Vec::new(),
            refusals,
            schemas: Vec::new(),
            version: Version::None,
            only_reads: false,
            callers: Callers::All,
        };
        if path.contains('{') { operation.refuses(StatusCode::NOT_FOUND, &["not_found"]) } else { operation }
    }

    /// More than the summary says: sentences.
    #[must_use]
    pub fn about(mut self, text: &'static str) -> Self {
        self.about = Some(text);
        self
    }

    /// The right that the handler asks for.
    #[must_use]
    pub fn needs<A: Action>(mut self) -> Self {
        self.capability = Some(A::CAPABILITY);
        let codes: &[_] = if A::CAPABILITY.is_owner_only() { &["owner_only"] } else { &["not_permitted", "gate"] };
        self.refuses(StatusCode::FORBIDDEN, codes).refuses(StatusCode::FORBIDDEN, &["root_only"])
    }

    /// A POST that changes nothing, such as a question with a body: reading tokens may ask it, and it needs no CSRF token.
    #[must_use]
    pub fn only_reads(mut self) -> Self {
        self.only_reads = true;
        self
    }

    /// No application's token opens it.
    #[must_use]
    pub fn for_people(mut self) -> Self {
        self.callers = Callers::People;
        self
    }

    /// No token opens it at all.
    #[must_use]
    pub fn for_sessions(mut self) -> Self {
        self.callers = Callers::Sessions;
        self.refuses(StatusCode::FORBIDDEN, &["session_required"])
    }

    /// Whether an API token is let in.
    #[must_use]
    pub fn takes_api_tokens(&self) -> bool {
        self.callers != Callers::Sessions
    }

    /// Whether an application's token is let in.
    #[must_use]
    pub fn takes_app_tokens(&self) -> bool {
        self.entry() == Entry::Read && self.callers == Callers::All && self.capability.is_some_and(Capability::is_for_applications)
    }

    /// A JSON body that can be left out.
    #[must_use]
    pub fn may_take<T: ToSchema>(self) -> Self {
        Self { body_is_optional: true, ..self.takes::<T>() }
    }

    /// A JSON body.
    #[must_use]
    pub fn takes<T: ToSchema>(mut self) -> Self {
        self.body = Some(self.refer::<T>());
        self.refuses(StatusCode::BAD_REQUEST, &["body"])
            .refuses(StatusCode::REQUEST_TIMEOUT, &["too_slow"])
            .refuses(StatusCode::PAYLOAD_TOO_LARGE, &["too_large"])
            .refuses(StatusCode::UNSUPPORTED_MEDIA_TYPE, &["unsupported_media_type"])
    }

    /// Parameters after the `?`.
    #[must_use]
    pub fn query<T: IntoParams>(mut self) -> Self {
        self.parameters.extend(T::into_params(|| Some(ParameterIn::Query)));
        self.refuses(StatusCode::BAD_REQUEST, &["parameter"])
    }

    /// [`Operation::query`] of a list with sealed cursors.
    #[must_use]
    pub fn pages<T: IntoParams>(self) -> Self {
        self.query::<T>().refuses(StatusCode::BAD_REQUEST, &["limit", "invalid_cursor", "expired_cursor", "invalid_filter"])
    }

    #[must_use]
    pub fn answers<T: ToSchema>(mut self, status: StatusCode, words: &'static str) -> Self {
        let schema = self.refer::<T>();
        self.answers.push(Answer { status, words, content: Some(Content { media_type: "application/json", schema }) });
        self
    }

    /// As [`Operation::answers`], in another form than JSON.
    #[must_use]
    pub fn answers_as<T: ToSchema>(mut self, media_type: &'static str, words: &'static str) -> Self {
        let schema = self.refer::<T>();
        self.answers.push(Answer { status: StatusCode::OK, words, content: Some(Content { media_type, schema }) });
        self
    }

    /// 204.
    #[must_use]
    pub fn answers_nothing(mut self, words: &'static str) -> Self {
        self.answers.push(Answer { status: StatusCode::NO_CONTENT, words, content: None });
        self
    }

    /// What else it refuses, by the `code` of the problem document.
    #[must_use]
    pub fn refuses(mut self, status: StatusCode, codes: &[&'static str]) -> Self {
        self.refusals.entry(status.as_u16()).or_default().extend(codes);
        self
    }

    /// Answers carry an `ETag`; of what is made, nobody has read a version before.
    #[must_use]
    pub fn tagged(self) -> Self {
        Self { version: Version::Told, ..self }
    }

    /// Answers carry an `ETag`; a change takes `If-Match`.
    #[must_use]
    pub fn versioned(mut self) -> Self {
        if self.method == Method::GET {
            return self.tagged();
        }
        self.version = Version::Asked;
        self.refuses(StatusCode::PRECONDITION_FAILED, &["precondition_failed"]).refuses(StatusCode::BAD_REQUEST, &["if_match"])
    }

    #[must_use]
    pub fn entry(&self) -> Entry {
        if self.method == Method::GET || self.only_reads { Entry::Read } else { Entry::Change }
    }

    /// Whether it is done once for one `Idempotency-Key`.
    #[must_use]
    pub fn takes_idempotency_key(&self) -> bool {
        self.method == Method::POST && self.entry() == Entry::Change
    }

    /// The name of the capability, as presets and messages have it.
    #[must_use]
    pub fn capability_name(&self) -> Option<&'static str> {
        self.capability.map(action::name)
    }

    fn refer<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        RefOr::Ref(Ref::from_schema_name(name))
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}
