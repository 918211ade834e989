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
        id::{ConnectionId, IdSource, TenantId, kind},
    },
};

/// Characters of a text in the log.
const LONGEST: usize = 500;

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
    let correlation = request.extensions().get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_owned());
    let method = request.method().as_str().to_owned();
    // The query may hold values of persons.
    let resource = cut(below_scim(request.uri().path()));
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
        detail: refusal.map(|refusal| cut(&refusal.detail)),
        facts_changed: tally.facts,
        assignments_changed: tally.assignments,
        duration_ms: app.now().millis() - began.millis(),
        correlation,
    });
    response
}

/// `/Users` of `/connections/okta/scim/v2/Users`.
fn below_scim(path: &str) -> &str {
    path.split_once("/scim/v2").map_or(path, |(_, resource)| resource)
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(LONGEST).collect()
}
