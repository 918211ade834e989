//! What somebody should look at, and nobody has yet.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    audit::for_people,
    extract::Query,
    paging::{Page, PageParameters, Paged},
    value::Moment,
};
use crate::{
    admin::attention,
    db::attention::Attention,
    domain::id::{AccountId, ConnectionId, EventId},
    http::{caller::api::Caller, error::Problem, operation::Operation, routes::Routes},
    policy::action::ReadAudit,
};

pub fn routes() -> Routes {
    Routes::chapter("Attention", "What somebody should look at, until it is resolved.").document(
        Operation::get("/api/v1/attention", "List what somebody should look at")
            .about(
                "The oldest first: a last owner who was kept, a sign-in whose account an owner has to decide, a group that was renamed, metadata \
                 that cannot be read. The operator of the host resolves an item (`rolegate attention resolve`); some are resolved when their \
                 cause is gone.",
            )
            .needs::<ReadAudit>()
            .for_people()
            .pages::<PageParameters>()
            .answers::<Paged<ShownAttention>>(StatusCode::OK, "A page of what is open"),
        list,
    )
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attention)]
struct ShownAttention {
    id: EventId,
    at: Moment,
    /// Such as `owner.retained`, `identity.subject_elsewhere`, `group.renamed`.
    kind: String,
    connection: Option<ConnectionId>,
    account: Option<AccountId>,
    /// Where there is something to say in words, it has a `message`.
    #[schema(value_type = Object)]
    detail: Value,
}

impl From<Attention> for ShownAttention {
    fn from(item: Attention) -> Self {
        let Attention { id, at, kind, connection, account, detail } = item;
        Self { id, at: at.into(), kind, connection, account, detail }
    }
}

async fn list(caller: Caller, Query(sent): Query<PageParameters>) -> Result<Response, Problem> {
    for_people(&caller)?;
    let grant = caller.authorize_at::<ReadAudit>(caller.model.organizations.root())?;
    let page = Page::<EventId>::read(&caller, "attention", &sent.into(), &[])?;
    let rows = attention::list(&grant, caller.db(), &caller.model, page.after, page.ask()).await?;
    let body = page.finish(&caller, rows, |item| item.id, ShownAttention::from);
    Ok(Json(body).into_response())
}
