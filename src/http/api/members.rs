//! Members of an organization, and whose home it is.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    extract::{Body, Path, Query},
    organizations::store,
    paging::{Page, PageParameters, Paged},
    precondition::{IfMatch, etag},
    value::Moment,
};
use crate::{
    admin::member::{self, MemberError},
    db::membership::{MemberRow, MembershipStatus},
    domain::id::AccountId,
    http::{
        caller::api::{Caller, ChangingCaller},
        error::{Kind, Problem},
        operation::Operation,
        routes::Routes,
    },
    policy::action::{ReadAccounts, UpdateAccounts},
    provision::{ProvisionError, membership::Standing},
};

const PATH: &str = "/api/v1/organizations/{slug}/members";
const ONE: &str = "/api/v1/organizations/{slug}/members/{id}";

pub fn routes() -> Routes {
    Routes::chapter(
        "Members",
        "Who takes part in an organization. One of them may be an account's home. What somebody may do is said by assignments, which may \
         stand at any organization. The version of a membership is the account's.",
    )
    .document(
        Operation::get(PATH, "List the members of an organization")
            .needs::<ReadAccounts>()
            .pages::<PageParameters>()
            .answers::<Paged<Shown>>(StatusCode::OK, "A page of members"),
        list,
    )
    .document(
        Operation::put(ONE, "Make somebody a member, or change what they are there")
            .about("The id is the account's. What is left out stays. Rights over the account are asked for at the organization; for another home also at the one before it, or at the root where there is none. If the security settings of the two homes differ, an owner of both has to ask. Nobody but an owner changes their own.")
            .needs::<UpdateAccounts>()
            .may_take::<Put>()
            .versioned()
            .answers::<Shown>(StatusCode::OK, "The member")
            .refuses(StatusCode::FORBIDDEN, &["out_of_reach", "own_account", "owner_only"])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["not_eligible"]),
        put,
    )
    .document(
        Operation::delete(ONE, "End a membership")
            .about("Assignments stay as they are.")
            .needs::<UpdateAccounts>()
            .versioned()
            .answers_nothing("It is ended")
            .refuses(StatusCode::FORBIDDEN, &["out_of_reach"])
            .refuses(StatusCode::CONFLICT, &["home_organization"]),
        remove,
    )
}

impl From<MemberError> for Problem {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::NotFound | MemberError::Provision(ProvisionError::NotFound) => Self::not_found(),
            MemberError::Denied(denied) => denied.into(),
            MemberError::OwnHome => Self::new(Kind::Forbidden, "own_account", format!("{error}.")),
            MemberError::IsHome => Self::conflict("home_organization", format!("{error}.")),
            MemberError::Provision(ProvisionError::Ineligible(why)) => {
                let detail = format!("The account holds a role that it could not hold from this home: {why}. Revoke it first.");
                Self::unprocessable("not_eligible", detail).at("home")
            }
            MemberError::Provision(error) => error.into(),
        }
    }
}

async fn list(caller: Caller, Path(slug): Path<String>, Query(sent): Query<PageParameters>) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<ReadAccounts>(&slug)?;
    let page = Page::<AccountId>::read(&caller, &format!("members of {}", grant.at()), &sent.into(), &[])?;
    let rows = member::list(&grant, store(&caller), page.after, page.ask()).await?;
    let body = page.finish(&caller, rows, |row| row.account, Shown::from);
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = MemberPut)]
#[serde(deny_unknown_fields, default)]
struct Put {
    /// `active` or `inactive`: whether they take part for the time being. It is told to applications and takes no right away.
    #[schema(value_type = Option<String>)]
    status: Option<MembershipStatus>,
    /// Whether the organization is the account's home.
    home: Option<bool>,
}

async fn put(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id)): Path<(String, AccountId)>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<UpdateAccounts>(&slug)?;
    let sent: Put = body.read_or_default()?;
    let standing = Standing { status: sent.status, home: sent.home };
    let (row, version) = member::put(store(&caller), &mut caller.occasion(), grant.at(), id, &precondition, standing).await?;
    caller.committed();
    Ok(([etag(version)], Json(Shown::from(row))).into_response())
}

async fn remove(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id)): Path<(String, AccountId)>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<UpdateAccounts>(&slug)?;
    let version = member::remove(store(&caller), &mut caller.occasion(), grant.at(), id, &precondition).await?;
    caller.committed();
    Ok((StatusCode::NO_CONTENT, [etag(version)]).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
struct Shown {
    account: AccountId,
    user_name: String,
    display_name: Option<String>,
    /// `active` or `inactive`.
    #[schema(value_type = String)]
    status: MembershipStatus,
    /// Whether the organization is the account's home.
    home: bool,
    since: Moment,
}

impl From<MemberRow> for Shown {
    fn from(row: MemberRow) -> Self {
        Self {
            account: row.account,
            user_name: row.user_name,
            display_name: row.display_name,
            status: row.status,
            home: row.home,
            since: row.since.into(),
        }
    }
}
