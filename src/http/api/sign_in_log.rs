//! Sign-ins through a connection, each refusal with its step, what was expected, what came, and what to do.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    extract::{Path, Query},
    paging::{ListParameters, Page, Paged},
    value::Moment,
};
use crate::{
    admin::sign_in_log,
    db::sign_in::{LogFilter, SignInLogRow, SignInOutcome},
    domain::{
        id::{AccountId, EventId},
        time::Timestamp,
    },
    http::{caller::api::Caller, error::Problem, operation::Operation, routes::Routes},
    policy::action::ReadLogs,
};

const PATH: &str = "/api/v1/connections/{slug}/sign-in-log";

pub fn routes() -> Routes {
    Routes::chapter("Sign-in log", "Sign-ins and sign-outs by SAML, accepted and refused, in words. Kept for 90 days.")
        .document(
            Operation::get(PATH, "List the sign-ins of a connection")
                .about("The newest first.")
                .needs::<ReadLogs>()
                .pages::<LogParameters>()
                .refuses(StatusCode::BAD_REQUEST, &["account", "since", "until"])
                .answers::<Paged<ShownSignIn>>(StatusCode::OK, "A page of sign-ins"),
            list,
        )
        .document(
            Operation::get("/api/v1/connections/{slug}/sign-in-log/{id}", "Look a sign-in up")
                .about("By the reference number that the browser was shown.")
                .needs::<ReadLogs>()
                .answers::<ShownSignIn>(StatusCode::OK, "The sign-in"),
            get,
        )
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LogParameters {
    /// How many rows at most: 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// `accepted` or `refused`.
    #[param(value_type = Option<String>)]
    outcome: Option<SignInOutcome>,
    /// Where it was refused, such as `conditions`.
    step: Option<String>,
    /// The id of an account.
    account: Option<String>,
    /// Not before this point in time.
    since: Option<String>,
    /// Before this point in time.
    until: Option<String>,
}

async fn list(caller: Caller, Path(slug): Path<String>, Query(sent): Query<LogParameters>) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ReadLogs>(&slug).await?;
    let account = sent.account.as_deref().map(AccountId::parse).transpose();
    let account = account.map_err(|error| Problem::invalid("account", format!("account: {error}.")).at("account"))?;
    let filter = LogFilter {
        outcome: sent.outcome,
        step: sent.step,
        account,
        since: time("since", sent.since.as_deref())?,
        until: time("until", sent.until.as_deref())?,
    };
    let asked = ListParameters::of(sent.limit, sent.cursor);
    let page = Page::<EventId>::read(&caller, &format!("sign-in-log {slug} {filter:?}"), &asked, &[])?;
    let (log, db) = (&caller.app.sign_in_log, caller.db());
    let rows = sign_in_log::list(&grant, log, db, &connection, &filter, page.after, page.ask()).await?;
    let body = page.finish(&caller, rows, |row| row.id, ShownSignIn::of);
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

async fn get(caller: Caller, Path((slug, reference)): Path<(String, EventId)>) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ReadLogs>(&slug).await?;
    let row = sign_in_log::find(&grant, &caller.app.sign_in_log, caller.db(), &connection, reference).await?;
    let body = row.map(ShownSignIn::of).ok_or_else(Problem::not_found)?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

fn time(name: &'static str, sent: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    sent.map(Timestamp::parse).transpose().map_err(|error| Problem::invalid(name, format!("{name}: {error}.")).at(name))
}

#[derive(Serialize, ToSchema)]
#[schema(as = SignIn)]
struct ShownSignIn {
    /// The number that the browser was shown.
    reference: EventId,
    at: Moment,
    #[schema(value_type = String)]
    outcome: SignInOutcome,
    /// Where it was refused.
    step: Option<String>,
    /// A short word that stays the same over releases.
    code: Option<String>,
    message: String,
    expected: Option<String>,
    got: Option<String>,
    /// What to do.
    cure: Option<String>,
    account: Option<AccountId>,
}

impl ShownSignIn {
    fn of(row: SignInLogRow) -> Self {
        Self {
            reference: row.id,
            at: row.at.into(),
            outcome: row.outcome,
            step: row.step,
            code: row.why.code,
            message: row.message,
            expected: row.why.expected,
            got: row.why.got,
            cure: row.why.cure,
            account: row.account,
        }
    }
}
