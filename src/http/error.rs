//! Refusals as HTTP says them: the one place with status codes, `scimType` strings and problem documents.
//!
//! A client learns what it may fix; what went wrong inside goes to the log, once, here, under the request's id.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::request::RequestId;
use crate::{
    db::DbError,
    policy::access::Denied,
    provision::ProvisionError,
    scim::error::{ErrorKind, ScimError},
};

const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
const SCIM_JSON: &str = "application/scim+json";
const PROBLEM_JSON: &str = "application/problem+json";
/// After how many seconds a client may try again what failed for a moment.
const RETRY_AFTER_SECS: &str = "1";

/// What is wrong with a request, whatever the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The body, the address or a parameter cannot be read or is not allowed.
    Invalid,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    PreconditionFailed,
    /// It was read and understood, and breaks a rule.
    Unprocessable,
    TooLarge,
    /// The request did not arrive within its time.
    TooSlow,
    UnsupportedMediaType,
    NotImplemented,
    /// Too many requests; after so many seconds there is room again.
    TooFast {
        retry_after_secs: u32,
    },
    /// It may succeed when it is tried again in a moment.
    Unavailable,
    Internal,
}

fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Kind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Kind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        Kind::TooFast { .. } => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// RFC 7644 table 9, RFC 9865 section 2.1.
fn scim_type(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::InvalidFilter => Some("invalidFilter"),
        ErrorKind::TooMany => Some("tooMany"),
        ErrorKind::Uniqueness => Some("uniqueness"),
        ErrorKind::Mutability => Some("mutability"),
        ErrorKind::InvalidSyntax => Some("invalidSyntax"),
        ErrorKind::InvalidPath => Some("invalidPath"),
        ErrorKind::NoTarget => Some("noTarget"),
        ErrorKind::InvalidValue => Some("invalidValue"),
        ErrorKind::InvalidVers => Some("invalidVers"),
        ErrorKind::Sensitive => Some("sensitive"),
        ErrorKind::InvalidCursor => Some("invalidCursor"),
        ErrorKind::ExpiredCursor => Some("expiredCursor"),
        ErrorKind::TooLarge => None,
    }
}

fn scim_kind(kind: ErrorKind) -> Kind {
    match kind {
        ErrorKind::InvalidFilter
        | ErrorKind::TooMany
        | ErrorKind::Mutability
        | ErrorKind::InvalidSyntax
        | ErrorKind::InvalidPath
        | ErrorKind::NoTarget
        | ErrorKind::InvalidValue
        | ErrorKind::InvalidVers
        | ErrorKind::InvalidCursor
        | ErrorKind::ExpiredCursor => Kind::Invalid,
        ErrorKind::Uniqueness => Kind::Conflict,
        ErrorKind::Sensitive => Kind::Forbidden,
        ErrorKind::TooLarge => Kind::TooLarge,
    }
}

/// A refusal in the SCIM protocol (RFC 7644 section 3.12).
#[derive(Debug)]
pub struct ScimFailure {
    pub kind: Kind,
    pub scim_type: Option<ErrorKind>,
    pub detail: String,
}

impl ScimFailure {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, scim_type: None, detail: detail.into() }
    }

    /// One and the same whatever was wrong: nothing tells whether the connection exists.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::new(Kind::Unauthenticated, "A valid bearer token of this connection is required.")
    }

    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "There is no such resource.")
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        status(self.kind).as_u16()
    }

    /// As it stands in a response of its own and in the operations of a bulk response.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = json!({ "schemas": [ERROR_URN], "status": status(self.kind).as_str() });
        if let Some(word) = self.scim_type.and_then(scim_type) {
            body["scimType"] = word.into();
        }
        body["detail"] = self.detail.as_str().into();
        body
    }
}

impl From<ScimError> for ScimFailure {
    fn from(error: ScimError) -> Self {
        Self { kind: scim_kind(error.kind), scim_type: Some(error.kind), detail: error.detail }
    }
}

impl From<ProvisionError> for ScimFailure {
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::NotFound => Self::not_found(),
            ProvisionError::Taken(name) => Self {
                kind: Kind::Conflict,
                scim_type: Some(ErrorKind::Uniqueness),
                detail: format!("The {name} is taken by another resource of this connection."),
            },
            ProvisionError::OwnersAccount(_) => Self {
                kind: Kind::Conflict,
                scim_type: Some(ErrorKind::Uniqueness),
                detail: "The resource is an owner's account of the tenant, which no identity provider takes over: an owner has to decide."
                    .to_owned(),
            },
            // RFC 7644 section 3.14: If-Match fails with 412.
            ProvisionError::Stale => {
                Self::new(Kind::PreconditionFailed, "The resource has changed: its version is not the one in If-Match. Read it again.")
            }
            ProvisionError::Scim(error) => error.into(),
            ProvisionError::UnknownMembers(ids) => Self {
                kind: Kind::Invalid,
                scim_type: Some(ErrorKind::InvalidValue),
                detail: format!("members: these are no users or groups of this connection: {}.", shown(&ids)),
            },
            ProvisionError::OwnerFloor(error) => Self::new(Kind::Conflict, format!("{error}.")),
            ProvisionError::Ineligible(error) => Self::new(Kind::Invalid, format!("{error}.")),
            ProvisionError::Again => Self::new(Kind::Unavailable, "The resource is being changed by other requests; try again."),
            ProvisionError::Db(error) => error.into(),
        }
    }
}

/// Not the whole of a list that a client made as long as it liked. In quotes, as every detail shows what a client sent: the log leaves
/// out what stands in them.
fn shown(ids: &[String]) -> String {
    const SHOWN: usize = 20;
    let text = ids.iter().take(SHOWN).map(|id| format!("{:?}", id.chars().take(64).collect::<String>())).collect::<Vec<_>>().join(", ");
    if ids.len() > SHOWN { format!("{text} and {} more", ids.len() - SHOWN) } else { text }
}

impl From<DbError> for ScimFailure {
    fn from(error: DbError) -> Self {
        let kind = log(&error);
        Self::new(kind, public_detail(kind))
    }
}

impl IntoResponse for ScimFailure {
    fn into_response(self) -> Response {
        let mut response = (status(self.kind), Json(self.body())).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(SCIM_JSON));
        mark(self.kind, response.headers_mut());
        response.extensions_mut().insert(Refusal { scim_type: self.scim_type.and_then(scim_type), detail: self.detail });
        response
    }
}

/// What was refused in the SCIM protocol, for the log beside the answer.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub scim_type: Option<&'static str>,
    pub detail: String,
}

/// Headers that belong to a status.
pub(super) fn mark(kind: Kind, headers: &mut HeaderMap) {
    match kind {
        // RFC 7235 section 4.1.
        Kind::Unauthenticated => headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"rolegate\"")),
        Kind::Unavailable => headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS)),
        Kind::TooFast { retry_after_secs } => headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_secs)),
        _ => None,
    };
}

/// A problem document (RFC 9457) with a code that programs may rely on.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    code: &'static str,
    detail: String,
    field: Option<String>,
    /// Boxed: most have none, and every `Result` carries the room.
    more: Option<Box<Map<String, Value>>>,
}

impl Problem {
    pub fn new(kind: Kind, code: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, code, detail: detail.into(), field: None, more: None }
    }

    /// What stands in the way, for programs, in members of its own (RFC 9457 section 3.2).
    #[must_use]
    pub fn with(mut self, value: &impl Serialize) -> Self {
        if let Ok(Value::Object(more)) = serde_json::to_value(value) {
            self.more.get_or_insert_default().extend(more);
        }
        self
    }

    /// Which field of the body, or which parameter, the refusal is about.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::new(Kind::Unauthenticated, "unauthenticated", "Sign in first.")
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, "forbidden", detail)
    }

    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "not_found", "There is nothing here.")
    }

    pub fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, code, detail)
    }

    /// The request was understood, and what it asks for breaks a rule: 422.
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::Unprocessable, code, detail)
    }

    /// `If-Match` names another version than the one that is there.
    #[must_use]
    pub fn stale() -> Self {
        let detail = "It has changed: its version is not the one in If-Match. Read it again.";
        Self::new(Kind::PreconditionFailed, "precondition_failed", detail)
    }

    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, code, detail)
    }

    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, "unavailable", detail)
    }

    /// Something broke and is logged; the client gets the number under which it is found.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = chain(error), "a request failed");
        Self::new(Kind::Internal, "internal", public_detail(Kind::Internal))
    }

    pub(super) fn crashed(id: &RequestId) -> Self {
        Self::new(Kind::Internal, "internal", format!("Something went wrong. It is in the log as request {}.", id.as_str()))
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// Always `about:blank`: what tells problems apart is `code`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The name of the status.
    title: &'static str,
    status: u16,
    /// Stable; for programs.
    code: &'static str,
    /// What is wrong and what would be right; for people.
    detail: String,
    /// Which field of the body, or which parameter, it is about, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
    /// What stands in the way, where programs can do something about it: holders, rules, causes.
    #[serde(flatten)]
    #[schema(value_type = std::collections::HashMap<String, serde_json::Value>)]
    more: Map<String, Value>,
}

impl Problem {
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }
}

/// The actor lacks a right: says which, and what would help.
impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self::new(Kind::Forbidden, denied.code(), format!("{denied}."))
    }
}

impl From<ProvisionError> for Problem {
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::NotFound => Self::not_found(),
            ProvisionError::Stale => Self::stale(),
            ProvisionError::Taken(name) => Self::conflict("taken", format!("The {name} is taken.")).at(name),
            ProvisionError::OwnersAccount(_) => Self::conflict("owners_account", format!("{error}.")),
            ProvisionError::OwnerFloor(_) => Self::conflict("owner_floor", format!("{error}.")),
            ProvisionError::Ineligible(_) => Self::unprocessable("not_eligible", format!("{error}.")),
            ProvisionError::UnknownMembers(_) => Self::unprocessable("unknown_members", format!("{error}.")),
            ProvisionError::Scim(error) => Self::invalid("body", error.detail),
            ProvisionError::Again => Self::unavailable("Other requests are changing the same; try again."),
            ProvisionError::Db(error) => error.into(),
        }
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        let kind = log(&error);
        let code = if kind == Kind::Unavailable { "unavailable" } else { "internal" };
        Self::new(kind, code, public_detail(kind))
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        problem.into_response()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = status(self.kind);
        let body = ProblemDocument {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code: self.code,
            detail: self.detail,
            field: self.field,
            more: self.more.map(|more| *more).unwrap_or_default(),
        };
        let mut response = (status, Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        mark(self.kind, response.headers_mut());
        response
    }
}

/// Logs what the database did, once, and says whether the client may try again.
fn log(error: &DbError) -> Kind {
    match error {
        DbError::Transient(_) | DbError::Unreachable(_) => {
            tracing::warn!(error = chain(error), "the database was not there for a request");
            Kind::Unavailable
        }
        DbError::Rehearsed => Kind::Internal,
        DbError::Address { .. }
        | DbError::File(_)
        | DbError::Taken(_)
        | DbError::Statement(_)
        | DbError::Corrupt { .. }
        | DbError::Migrate(_) => {
            tracing::error!(error = chain(error), "a request failed");
            Kind::Internal
        }
    }
}

fn public_detail(kind: Kind) -> &'static str {
    if kind == Kind::Unavailable {
        "The gateway cannot do this at the moment; try again."
    } else {
        "Something went wrong. The log has it under the id in the x-request-id header."
    }
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source()).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

pub(super) async fn no_such_page() -> Problem {
    Problem::not_found()
}

/// The router says in `Allow` which methods there are; who asks with OPTIONS wanted to know nothing else.
pub(super) async fn no_such_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(Kind::MethodNotAllowed, "method_not_allowed", "This address has other methods: Allow names them.").into()
}
