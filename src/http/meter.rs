//! What a SCIM request did, measured beside its answer, and its entry in the provisioning log.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::{error::Refusal, request::RequestId};
use crate::{
    admin::provisioning_log::LogEntry,
    app::App,
    domain::{
        actor::Tally,
        id::{ConnectionId, Id, IdSource, TenantId, kind},
    },
};

/// Characters of a text in the log.
const LONGEST: usize = 500;

/// What may stand in a path below the connection's SCIM address, beside identifiers.
const WORDS: [&str; 9] = ["Users", "Groups", "Roles", "Schemas", "ResourceTypes", "ServiceProviderConfig", "Me", "Bulk", ".search"];
/// In the place of what may be the value of a person.
const LEFT_OUT: &str = "…";

/// One for each request.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Measured>>);

#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    caller: Option<(TenantId, ConnectionId)>,
    tally: Tally,
}

impl Meter {
    /// The request came with a bearer of this connection; others are not logged, so that strangers cannot fill the log.
    pub fn identify(&self, tenant: TenantId, connection: ConnectionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).caller = Some((tenant, connection));
    }

    /// A transaction was committed.
    pub fn add(&self, tally: Tally) {
        let mut measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        measured.tally.facts += tally.facts;
        measured.tally.assignments += tally.assignments;
    }

    fn read(&self) -> Measured {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Around all routes: one entry for each SCIM request of a known connection. It is written later, by the jobs.
pub async fn record(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = app.now();
    let meter = Meter::default();
    request.extensions_mut().insert(meter.clone());
    let request_id = request.extensions().get::<RequestId>().cloned();
    let method = request.method().as_str().to_owned();
    // The query may hold values of persons, and so may a path that leads nowhere.
    let resource = cut(&without_names(below_scim(request.uri().path())));
    let response = next.run(request).await;
    let Measured { caller: Some((tenant, connection)), tally } = meter.read() else { return response };
    let refusal = response.extensions().get::<Refusal>();
    app.provisioning_log.note(LogEntry {
        id: IdSource::new(began, app.random.bytes()).make::<kind::Event>(),
        tenant,
        connection,
        at: began,
        method,
        resource,
        status: response.status().as_u16(),
        scim_type: refusal.and_then(|refusal| refusal.scim_type).map(str::to_owned),
        detail: refusal.map(|refusal| cut(&without_quoted(&refusal.detail))),
        facts_changed: tally.facts,
        assignments_changed: tally.assignments,
        duration_ms: app.now().millis() - began.millis(),
        correlation: request_id.as_ref().map_or_else(String::new, |id| id.as_str().to_owned()),
        occurrences: 1,
        last_at: began,
        client_request_id: request_id.and_then(|id| id.client().map(str::to_owned)),
    });
    response
}

/// `/Users` of `/connections/okta/scim/v2/Users`.
fn below_scim(path: &str) -> &str {
    path.split_once("/scim/v2").map_or(path, |(_, resource)| resource)
}

/// Words of the protocol and identifiers; anything else in a path is what a client made up.
fn without_names(path: &str) -> String {
    let is_kept = |segment: &str| segment.is_empty() || WORDS.contains(&segment) || Id::<kind::Account>::parse(segment).is_ok();
    path.split('/').map(|segment| if is_kept(segment) { segment } else { LEFT_OUT }).collect::<Vec<_>>().join("/")
}

/// A refusal's detail shows in quotes what the client sent.
fn without_quoted(detail: &str) -> String {
    let mut kept = String::with_capacity(detail.len());
    let mut characters = detail.chars();
    while let Some(character) = characters.next() {
        kept.push(character);
        if character != '"' {
            continue;
        }
        kept.push_str(LEFT_OUT);
        while let Some(inside) = characters.next() {
            if inside == '\\' {
                characters.next();
            } else if inside == '"' {
                kept.push('"');
                break;
            }
        }
    }
    kept
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/Users", "/Users")]
    #[case("/Users/01900000-0000-7000-8000-000000000001", "/Users/01900000-0000-7000-8000-000000000001")]
    #[case("/Users/ann@acme.example", "/Users/…")]
    #[case("/ann/.search/", "/…/.search/")]
    #[case("/Users%3Fann", "/…")]
    fn of_a_path_words_and_identifiers_are_kept(#[case] path: &str, #[case] kept: &str) {
        assert_eq!(without_names(path), kept);
    }

    #[rstest]
    #[case("members is required.", "members is required.")]
    #[case(r#"The path emails[value eq "ann@acme.example"].nope names nothing."#, r#"The path emails[value eq "…"].nope names nothing."#)]
    #[case(r#"x eq "a \" b" or y eq "c": no order"#, r#"x eq "…" or y eq "…": no order"#)]
    #[case(r#"x eq "ann without an end"#, r#"x eq "…"#)]
    fn of_a_detail_what_a_client_sent_is_left_out(#[case] detail: &str, #[case] kept: &str) {
        assert_eq!(without_quoted(detail), kept);
    }
}
