//! Moves of organizations, with a preview of who gains and loses which role.

use std::collections::BTreeSet;

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    extract::{Body, Path},
    organizations::{movement, store},
    precondition::{IfMatch, etag},
};
use crate::{
    admin::{
        organization::{self, Moved},
        relocation::{Measured, RelocationError},
    },
    domain::id::{AccountId, RoleId},
    http::{
        caller::api::{Caller, ChangingCaller},
        error::{Kind, Problem},
        operation::Operation,
        routes::Routes,
    },
    policy::{
        action::{ReadAssignments, UpdateOrganizations},
        inheritance::Reaching,
        places::{Places, places},
    },
};

/// Refusals that only a move has.
pub(super) const DENIED: &[&str] = &["owner_only", "self_assignment", "out_of_reach", "reach_too_short"];
pub(super) const TOO_MANY: &str = "too_many_roles";

pub fn routes() -> Routes {
    Routes::chapter("Moves of organizations", "A move changes which roles held above an organization act in it.").document(
        Operation::post("/api/v1/organizations/{slug}/move", "Move an organization, or preview the move")
            .about(
                "Roles held above an organization with reach `subtree` also act in it. The move grants the roles held above the new place and \
                 withdraws the roles held above the old place. It needs the rights to make each grant and each withdrawal by hand. If owners, \
                 security settings, application tokens or rules of connections differ between the two places, it needs an owner of both. \
                 With `preview`, nothing is written. The answer lists the roles that the caller may see.",
            )
            .needs::<UpdateOrganizations>()
            .takes::<Request>()
            .versioned()
            .answers::<ShownMove>(StatusCode::OK, "What the move changes, or would change")
            .refuses(StatusCode::FORBIDDEN, DENIED)
            .refuses(StatusCode::CONFLICT, &[TOO_MANY])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["unknown_organization", "too_deep", "below_itself", "root_organization"]),
        relocate,
    )
}

impl From<RelocationError> for Problem {
    fn from(error: RelocationError) -> Self {
        let detail = format!("{error}.");
        match error {
            RelocationError::Denied(denied) => Self::new(Kind::Forbidden, denied.code(), detail).at("parent"),
            RelocationError::TooMany => Self::conflict(TOO_MANY, detail).at("parent"),
            RelocationError::Db(error) => error.into(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[schema(as = OrganizationMoveRequest)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Slug of the new parent.
    parent: String,
    /// Write nothing.
    #[serde(default)]
    preview: bool,
}

async fn relocate(
    ChangingCaller(caller): ChangingCaller,
    Path(at): Path<String>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<UpdateOrganizations>(&at)?;
    let sent: Request = body.read()?;
    let moved = movement(&caller, grant.at(), &sent.parent)?;
    let done = organization::relocate(&grant, store(&caller), &mut caller.occasion(), precondition, moved, sent.preview).await?;
    let tag = done.as_ref().and_then(|done| done.version).map(|version| [etag(version)]);
    if tag.is_some() {
        caller.committed();
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], tag, Json(ShownMove::of(&caller, done.as_ref()))).into_response())
}

#[derive(Serialize, ToSchema, Default)]
#[schema(as = OrganizationMove)]
struct ShownMove {
    /// Whether the organization was moved.
    moved: bool,
    /// Roles that act in the organization after the move.
    gained: Vec<ShownRole>,
    /// Roles that no longer act in the organization after the move.
    lost: Vec<ShownRole>,
    /// Whether the lists are complete, as far as the caller may see assignments.
    complete: bool,
    /// Names other differences: `security_settings`, `app_tokens` (which tokens read the organization), `rules` (which connections have rules
    /// that can name it).
    also_different: Vec<&'static str>,
    /// Why the caller may not make the move. Only a preview has it.
    refusal: Option<Refusal>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OrganizationMoveRefusal)]
struct Refusal {
    /// The stable code of the problem document.
    code: String,
    detail: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InheritedRole)]
struct ShownRole {
    account: AccountId,
    user_name: String,
    role: RoleId,
    role_name: String,
    /// Slug of the organization of the assignment.
    organization: String,
    /// Whether the account may pass the role on.
    may_delegate: bool,
}

impl ShownMove {
    fn of(caller: &Caller, done: Option<&Moved>) -> Self {
        let Some(Moved { measured, refused, version }) = done else { return Self { complete: true, ..Self::default() } };
        let seen = places::<ReadAssignments>(&caller.actor, &caller.model).unwrap_or_else(|_| Places::Only(BTreeSet::new()));
        let shown = |roles: &[Reaching]| {
            let visible = roles.iter().filter(|one| seen.contains(one.organization));
            visible.map(|one| ShownRole::of(caller, measured, one)).collect()
        };
        Self {
            moved: version.is_some(),
            gained: shown(&measured.effects.shift.gained),
            lost: shown(&measured.effects.shift.lost),
            complete: measured.complete,
            also_different: measured.effects.also_different().collect(),
            refusal: refused.as_ref().map(Refusal::of),
        }
    }
}

impl Refusal {
    fn of(refused: &RelocationError) -> Self {
        let code = match refused {
            RelocationError::Denied(denied) => denied.code(),
            RelocationError::TooMany => TOO_MANY,
            RelocationError::Db(_) => "unavailable",
        };
        Self { code: code.to_owned(), detail: format!("{refused}.") }
    }
}

impl ShownRole {
    fn of(caller: &Caller, measured: &Measured, one: &Reaching) -> Self {
        let organization = caller.model.organizations.find(one.organization);
        Self {
            account: one.account,
            user_name: measured.people.get(&one.account).map(|row| row.user_name.clone()).unwrap_or_default(),
            role: one.role,
            role_name: caller.model.role(one.role).map(|role| role.name.to_string()).unwrap_or_default(),
            organization: organization.map(|organization| organization.slug.to_string()).unwrap_or_default(),
            may_delegate: one.may_delegate,
        }
    }
}
