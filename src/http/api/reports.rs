//! Reports: what a tenant has, against what it may have, and how many hold a role for what reason.

use axum::{Json, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    extract::Query,
    paging::{ListParameters, Page, Paged},
};
use crate::{
    admin::{domain, report, role_use},
    db::report::{Counted, Held, Position},
    domain::{
        id::{OrganizationId, RoleId},
        organization::MAX_DEPTH,
    },
    http::{caller::api::Caller, error::Problem, operation::Operation, routes::Routes},
    policy::{
        action::ReadReports,
        places::{authorize_for_tenant, places},
    },
};

pub fn routes() -> Routes {
    Routes::chapter("Reports", "Counted, from what is true at the time of the request.")
        .document(
            Operation::get("/api/v1/reports/usage", "Count what the tenant has")
                .about("With the limits of this version. A matter of the whole tenant.")
                .needs::<ReadReports>()
                .answers::<Usage>(StatusCode::OK, "Counters and limits"),
            usage,
        )
        .document(
            Operation::get("/api/v1/reports/assignments", "Count who holds which role where, and because of what")
                .about("One row for a role, an organization and a kind of reason. Who holds a role for several reasons is counted in several rows.")
                .needs::<ReadReports>()
                .pages::<HeldParameters>()
                .answers::<Paged<ShownHeld>>(StatusCode::OK, "A page, of organizations where the caller may see reports"),
            assignments,
        )
}

#[derive(Debug, Serialize, ToSchema)]
struct Usage {
    organizations: i64,
    connections: i64,
    roles: i64,
    /// Of the roles, those that the tenant made.
    custom_roles: i64,
    assignments: i64,
    /// Of directories, and local ones.
    groups: i64,
    people: i64,
    machines: i64,
    /// People and machines who may sign in.
    active_accounts: i64,
    limits: Limits,
}

/// What is refused beyond.
#[derive(Debug, Serialize, ToSchema)]
struct Limits {
    /// Organizations one below the other, the root included.
    organization_depth: usize,
    domains_per_organization: usize,
    /// Assignments that one replacement of a role moves.
    holders_per_replacement: i64,
}

async fn usage(caller: Caller) -> Result<Json<Usage>, Problem> {
    let grant = authorize_for_tenant::<ReadReports>(&caller.actor, &caller.model)?;
    let counted = report::count(&grant, caller.db(), caller.tenant).await?;
    let Counted { organizations, connections, roles, custom_roles, assignments, groups, people, machines, active } = counted;
    let limits = Limits { organization_depth: MAX_DEPTH, domains_per_organization: domain::MOST, holders_per_replacement: role_use::MOVED };
    let active_accounts = active;
    Ok(Json(Usage { organizations, connections, roles, custom_roles, assignments, groups, people, machines, active_accounts, limits }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HeldParameters {
    /// Of this role only: its id.
    #[param(value_type = Option<String>)]
    role: Option<RoleId>,
    /// How many rows at most: 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HeldRole)]
struct ShownHeld {
    #[schema(value_type = String)]
    organization: OrganizationId,
    organization_slug: String,
    #[schema(value_type = String)]
    role: RoleId,
    role_name: String,
    /// The kind of reason: `manual`, `scim_rule`, `saml_rule`, `default`, ….
    origin: String,
    accounts: i64,
    /// Those of them that may sign in.
    active: i64,
}

impl From<Held> for ShownHeld {
    fn from(held: Held) -> Self {
        let Held { organization, organization_slug, role, role_name, origin, accounts, active } = held;
        Self { organization, organization_slug, role, role_name, origin, accounts, active }
    }
}

async fn assignments(caller: Caller, Query(sent): Query<HeldParameters>) -> Result<Json<Paged<ShownHeld>>, Problem> {
    let places = places::<ReadReports>(&caller.actor, &caller.model)?;
    let name = format!("report of assignments {}", sent.role.map(|role| role.to_string()).unwrap_or_default());
    let page: Page<Position> = Page::read(&caller, &name, &ListParameters::of(sent.limit, sent.cursor), &[])?;
    let rows = report::list_held(&places, caller.db(), caller.tenant, sent.role, page.after.as_ref(), page.ask()).await?;
    let position = |held: &Held| (held.organization, held.role, held.origin.clone());
    Ok(Json(page.finish(&caller, rows, position, ShownHeld::from)))
}
