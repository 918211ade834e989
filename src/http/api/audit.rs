//! The audit trail: looked through, taken out, and asked why somebody held a role at a time that is past.

use axum::{
    Json,
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    extract::Query,
    paging::{ListParameters, Page, Paged},
    value::Moment,
};
use crate::{
    admin::{
        audit_line::AuditLine,
        audit_trail,
        history::{self, HistoryError, Past},
        listing,
    },
    db::{DbError, audit::AuditRow},
    domain::id::AccountId,
    http::{
        caller::api::{By, Caller},
        error::{Kind, Problem},
        operation::Operation,
        routes::Routes,
    },
    policy::{
        access::{Denied, Grant},
        action::{Action, ExportAudit, ReadAudit},
    },
};

pub fn routes() -> Routes {
    Routes::chapter("Audit", "Who did what to whom. Each row is sealed with the one before it: `rolegate audit verify` finds what was changed.")
        .document(
            Operation::get("/api/v1/audit", "Look through the audit trail")
                .about(
                    "The newest first; a row appears when it is sealed, a moment after its change. `filter` joins conditions with `and`: `at` with \
                     `ge`, `gt`, `le`, `lt`; `actor`, `subject`, `subjectKind`, `correlation` with `eq`; `kind` with `eq` or `sw`. Where \
                     `subject` and `subjectKind` are named, looking costs what is found.",
                )
                .needs::<ReadAudit>()
                .for_people()
                .pages::<ListParameters>()
                .answers::<Paged<AuditLine>>(StatusCode::OK, "A page of rows"),
            list,
        )
        .document(
            Operation::get("/api/v1/audit/export", "Take the audit trail out")
                .about("Lines of JSON (one `AuditRow` each), the oldest first, in the form that archives have. The export itself is written down.")
                .needs::<ExportAudit>()
                .query::<ExportParameters>()
                .answers_as::<Lines>("application/x-ndjson", "Every sealed row behind `after`"),
            export,
        )
        .document(
            Operation::get("/api/v1/audit/role-at", "Why did somebody hold a role at a time")
                .about("Answered from the audit trail and, for what began before it, from what is held today. Times that are wholly in an archive are refused.")
                .needs::<ReadAudit>()
                .for_people()
                .query::<RoleAtParameters>()
                .answers::<Past>(StatusCode::OK, "Whether the role was held, and why")
                .refuses(StatusCode::BAD_REQUEST, &["in_the_future"])
                .refuses(StatusCode::NOT_FOUND, &["not_found", "unknown_role"])
                .refuses(StatusCode::CONFLICT, &["archived"]),
            role_at,
        )
}

/// Applications are told of changes by the events; the trail, with everything of everybody, is for people.
pub(super) fn for_people(caller: &Caller) -> Result<(), Problem> {
    match caller.by {
        By::Session(_) | By::ApiToken(_) => Ok(()),
        By::AppToken => Err(Denied::ReadOnly { capability: ReadAudit::CAPABILITY }.into()),
    }
}

async fn list(caller: Caller, Query(sent): Query<ListParameters>) -> Result<Response, Problem> {
    for_people(&caller)?;
    let grant = caller.authorize_at::<ReadAudit>(caller.model.organizations.root())?;
    let page = Page::<i64>::read(&caller, "audit", &sent, &audit_trail::ATTRIBUTES)?;
    let query = audit_trail::query_of(page.filter.as_ref());
    let query = query.map_err(|error| Problem::invalid("invalid_filter", format!("{error}.")).at("filter"))?;
    let rows = audit_trail::list(&grant, caller.db(), &caller.model, &query, page.after, page.ask()).await?;
    let slug = slug(&caller);
    let body = page.finish(&caller, rows, |row| row.number, |row| AuditLine::new(&slug, row));
    Ok(Json(body).into_response())
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::UnknownRole(_) => Self::new(Kind::NotFound, "unknown_role", format!("{error}.")).at("role"),
            HistoryError::Future(_) => Self::invalid("in_the_future", format!("{error}.")).at("at"),
            HistoryError::Archived(_) => Self::conflict("archived", format!("{error}.")).at("at"),
            HistoryError::Db(error) => error.into(),
        }
    }
}

/// The tenant's, which is that of its root organization.
fn slug(caller: &Caller) -> String {
    let organizations = &caller.model.organizations;
    organizations.find(organizations.root()).map_or_else(String::new, |root| root.slug.to_string())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExportParameters {
    /// The number of the last row that is there already; 0 when it is left out.
    after: Option<i64>,
}

/// One [`AuditLine`] a line.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is streamed")]
#[schema(as = AuditLines)]
struct Lines(String);

async fn export(caller: Caller, Query(sent): Query<ExportParameters>) -> Result<Response, Problem> {
    let grant = caller.authorize_at::<ExportAudit>(caller.model.organizations.root())?;
    let after = sent.after.unwrap_or(0);
    audit_trail::begin_export(&grant, caller.db(), &mut caller.occasion(), &caller.model, after).await?;
    caller.committed();
    let export = Export { slug: slug(&caller), caller, grant, after };
    // What fails on the way ends the answer before its end, which clients see.
    let pages = stream::try_unfold(export, |mut export| async move {
        let page = export.next().await.inspect_err(|error| tracing::error!(%error, "an export of the audit trail ended early"))?;
        Ok::<_, DbError>(page.map(|page| (page, export)))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pages)).into_response())
}

struct Export {
    caller: Caller,
    grant: Grant<ExportAudit>,
    slug: String,
    after: i64,
}

impl Export {
    async fn next(&mut self) -> Result<Option<Bytes>, DbError> {
        let rows = audit_trail::page(&self.grant, self.caller.db(), &self.caller.model, self.after).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.after = last.number;
        let line = |row: AuditRow| serde_json::to_string(&AuditLine::new(&self.slug, row)).map(|line| format!("{line}\n"));
        let text: Result<String, _> = rows.into_iter().map(line).collect();
        Ok(Some(text.map_err(|error| DbError::corrupt("an audit row", &error))?.into()))
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RoleAtParameters {
    /// The id.
    #[param(value_type = String, format = "uuid")]
    account: AccountId,
    /// The name that the role had then; where none had it, a name that it had before or has since.
    role: String,
    /// When.
    #[param(value_type = String, format = DateTime)]
    at: Moment,
}

async fn role_at(caller: Caller, Query(sent): Query<RoleAtParameters>) -> Result<Response, Problem> {
    for_people(&caller)?;
    caller.authorize_at::<ReadAudit>(caller.model.organizations.root())?;
    listing::find_account(caller.db(), caller.tenant, sent.account).await?.ok_or_else(Problem::not_found)?;
    let past = history::role_at(caller.db(), caller.tenant, sent.account, &sent.role, sent.at.0, caller.app.now()).await?;
    Ok(Json(past).into_response())
}
