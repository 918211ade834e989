//! What somebody should look at, and nobody has yet.

use std::collections::BTreeSet;

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
    db::{self, attention::Attention},
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
    /// Whether a directory names this account like an owner, which it is not.
    looks_like_owner: bool,
    /// Where there is something to say in words, it has a `message`.
    #[schema(value_type = Object)]
    detail: Value,
}

impl ShownAttention {
    fn of(item: Attention, alike: &BTreeSet<AccountId>) -> Self {
        let Attention { id, at, kind, connection, account, detail } = item;
        let looks_like_owner = account.is_some_and(|account| alike.contains(&account));
        Self { id, at: at.into(), kind, connection, account, looks_like_owner, detail }
    }
}

async fn list(caller: Caller, Query(sent): Query<PageParameters>) -> Result<Response, Problem> {
    for_people(&caller)?;
    let grant = caller.authorize_at::<ReadAudit>(caller.model.organizations.root())?;
    let page = Page::<EventId>::read(&caller, "attention", &sent.into(), &[])?;
    let rows = attention::list(&grant, caller.db(), &caller.model, page.after, page.ask()).await?;
    let ids: Vec<AccountId> = rows.iter().filter_map(|item| item.account).collect();
    let alike = db::people::look_like_owners(caller.db(), caller.tenant, &ids).await?;
    let body = page.finish(&caller, rows, |item| item.id, |item| ShownAttention::of(item, &alike));
    Ok(Json(body).into_response())
}
