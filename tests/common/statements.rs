//! How many statements a request runs, and how many rows it reads and writes: counted by what sqlx says of each, under the request's id.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, Once},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

/// Requests with such an id are counted; all others run as without it.
const COUNTED: &str = "counted-";

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Work {
    /// The beginning of each, in their order.
    pub statements: Vec<String>,
    pub rows_read: u64,
    pub rows_written: u64,
}

static DONE: Mutex<Option<HashMap<String, Work>>> = Mutex::new(None);

/// The id that a request is sent with in order to be counted.
pub fn counted(name: &str) -> String {
    static START: Once = Once::new();
    START.call_once(|| tracing::subscriber::set_global_default(Registry::default().with(Counter)).unwrap());
    format!("{COUNTED}{name}")
}

/// What the request with this id did.
pub fn work_of(id: &str) -> Work {
    DONE.lock().unwrap().as_ref().and_then(|done| done.get(id).cloned()).unwrap_or_default()
}

/// SQLite runs its statements in a thread of its own, within the span of who asked: so the span's id says whose a statement is.
struct Counter;

struct RequestId(String);

#[derive(Default)]
struct Seen {
    id: Option<String>,
    summary: String,
    /// Empty where the summary is all of it.
    statement: String,
    rows_read: u64,
    rows_written: u64,
}

impl Visit for Seen {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "request.client_id" => self.id = Some(value.to_owned()),
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.trim().clone_into(&mut self.statement),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "rows_returned" => self.rows_read = value,
            "rows_affected" => self.rows_written = value,
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl Seen {
    /// Those of which nobody needs an answer go with the next one, in one text: one after another, or in the `with` of an insert.
    fn each(&self) -> Vec<String> {
        let text = if self.statement.is_empty() { &self.summary } else { &self.statement };
        let beginning = |one: &str| one.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
        if text.starts_with("with w0 as (insert into ") {
            return text.match_indices("insert into ").map(|(at, _)| beginning(&text[at..])).collect();
        }
        text.split("; ").map(beginning).collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Counter {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        let is_counted = || {
            let scope = context.lookup_current();
            scope.is_some_and(|span| span.scope().any(|span| span.extensions().get::<RequestId>().is_some()))
        };
        if metadata.is_span() { metadata.name() == "request" } else { metadata.target() == "sqlx::query" && is_counted() }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut seen = Seen::default();
        attributes.record(&mut seen);
        if let (Some(id), Some(span)) = (seen.id.filter(|id| id.starts_with(COUNTED)), context.span(id)) {
            span.extensions_mut().insert(RequestId(id));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(scope) = context.event_scope(event) else { return };
        for span in scope {
            if let Some(RequestId(id)) = span.extensions().get() {
                let mut seen = Seen::default();
                event.record(&mut seen);
                // A connection that is opened is nobody's work.
                if seen.summary.starts_with("PRAGMA") {
                    return;
                }
                let mut done = DONE.lock().unwrap();
                let work = done.get_or_insert_default().entry(id.clone()).or_default();
                work.statements.extend(seen.each());
                work.rows_read += seen.rows_read;
                work.rows_written += seen.rows_written;
            }
        }
    }
}
