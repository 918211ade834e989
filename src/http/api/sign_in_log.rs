//! Sign-ins through a connection, each refusal with its step, what was expected, what came, and what to do.

use axum::{
    Json,
    extract::{Path, Query},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::limit;
use crate::{
    admin::sign_in_log,
    db::sign_in::{LogFilter, SignInLogRow, SignInOutcome},
    domain::{
        id::{AccountId, EventId},
        time::Timestamp,
    },
    http::{caller::session::SessionCaller, error::Problem},
    policy::action::ReadLogs,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    limit: Option<i64>,
    /// The reference of the last entry that was read.
    cursor: Option<String>,
    outcome: Option<SignInOutcome>,
    step: Option<String>,
    account: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

pub async fn list(caller: SessionCaller, Path(slug): Path<String>, Query(page): Query<Page>) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ReadLogs>(&connection)?;
    let limit = limit(page.limit)?;
    let before = page.cursor.as_deref().map(EventId::parse).transpose();
    let before = before.map_err(|error| Problem::invalid("cursor", format!("cursor: {error}.")))?;
    let account = page.account.as_deref().map(AccountId::parse).transpose();
    let account = account.map_err(|error| Problem::invalid("account", format!("account: {error}.")))?;
    let filter = LogFilter {
        outcome: page.outcome,
        step: page.step,
        account,
        since: time("since", page.since.as_deref())?,
        until: time("until", page.until.as_deref())?,
    };
    let rows = sign_in_log::list(&grant, &caller.app.sign_in_log, caller.db(), &connection, &filter, before, limit).await?;
    let full = i64::try_from(rows.len()).is_ok_and(|read| read == limit);
    let next = rows.last().filter(|_| full).map(|last| last.id);
    let body = json!({ "entries": rows.iter().map(shown).collect::<Vec<_>>(), "next_cursor": next });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

pub async fn get(caller: SessionCaller, Path((slug, reference)): Path<(String, String)>) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ReadLogs>(&connection)?;
    let reference = EventId::parse(&reference).map_err(|_| Problem::not_found())?;
    let row = sign_in_log::find(&grant, &caller.app.sign_in_log, caller.db(), &connection, reference).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(shown(&row))).into_response())
}

fn time(name: &'static str, sent: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    sent.map(Timestamp::parse).transpose().map_err(|error| Problem::invalid(name, format!("{name}: {error}.")))
}

fn shown(row: &SignInLogRow) -> Value {
    json!({
        "reference": row.id,
        "at": row.at.to_string(),
        "outcome": row.outcome,
        "step": row.step,
        "code": row.why.code,
        "message": row.message,
        "expected": row.why.expected,
        "got": row.why.got,
        "cure": row.why.cure,
        "account": row.account,
    })
}
