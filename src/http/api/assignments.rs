//! Who holds which role where, and why; granting and withdrawing, one or many at a time.

use std::collections::HashMap;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    extract::{Body, Path, Query},
    paging::{ListParameters, Page, PageParameters, Paged},
    value::Moment,
};
use crate::{
    admin::{
        assign::{self, LINES, Mode},
        listing::rule_names,
        person,
    },
    db::{
        self,
        assignment_list::{Asked, ListedAssignment, ListedOrigin},
    },
    domain::{
        assignment::{Holding, Reach},
        id::{AccountId, AssignmentId, OrganizationId, RoleId, ScopeId},
    },
    http::{
        caller::api::{Caller, ChangingCaller},
        error::{Kind, Problem},
        operation::Operation,
        routes::Routes,
    },
    policy::{
        action::{GrantAssignments, ReadAccounts, ReadAssignments, ReadOrganizations, RevokeAssignments},
        places::{places, places_or_nowhere},
    },
    provision::assign::{AssignRefusal, Cause, Outcome, Request, Wish},
};

const PATH: &str = "/api/v1/assignments";
const ONE: &str = "/api/v1/assignments/{id}";

const DENIED: &[&str] = &["self_assignment", "out_of_reach", "owner_only"];
const UNPROCESSABLE: &[&str] = &["tenant_mismatch", "not_eligible", "machine_only", "wrong_scope_kind", "unknown_scope", "no_delegation"];

pub fn routes() -> Routes {
    Routes::chapter(
        "Assignments",
        "A role that an account holds at an organization, and every reason for it. Owners grant any role to any other account; others with the right to, within their reach and the roles and groups they manage; where roles are passed on, who holds one with `may_delegate`. What a directory gives, people do not take away.",
    )
    .document(
        Operation::get(PATH, "List assignments")
            .needs::<ReadAssignments>()
            .pages::<AssignmentParameters>()
            .answers::<Paged<ShownAssignment>>(StatusCode::OK, "A page of those at organizations where the caller may look"),
        list,
    )
    .document(
        Operation::post(PATH, "Grant a role")
            .needs::<GrantAssignments>()
            .takes::<NewAssignment>()
            .answers::<ShownAssignment>(StatusCode::CREATED, "It is granted")
            .answers::<ShownAssignment>(StatusCode::OK, "It was granted by hand before; nothing was written")
            .refuses(StatusCode::FORBIDDEN, DENIED)
            .refuses(StatusCode::CONFLICT, &["already_granted"])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, UNPROCESSABLE),
        create,
    )
    .document(
        Operation::post("/api/v1/assignments/bulk", "Grant and withdraw many")
            .about("Up to 1000 lines, each decided after the lines before it. Lines that are refused say why; the others are written, or with `atomic` none. With `preview` nothing is written, and the answer is what the same request would get.")
            .takes::<Bulk>()
            .answers::<BulkResult>(StatusCode::OK, "What became of each line")
            .refuses(StatusCode::BAD_REQUEST, &["too_many"]),
        bulk,
    )
    .document(
        Operation::get(ONE, "Show an assignment").needs::<ReadAssignments>().answers::<ShownAssignment>(StatusCode::OK, "The assignment"),
        get,
    )
    .document(
        Operation::delete(ONE, "Withdraw a role")
            .about("Takes what people gave; one's own may always be resigned. What a rule or a directory holds stays, and the refusal has it in `causes`.")
            .needs::<RevokeAssignments>()
            .answers_nothing("It is gone")
            .answers::<ShownAssignment>(StatusCode::OK, "What people gave is gone; it stays for the reasons shown")
            .refuses(StatusCode::FORBIDDEN, DENIED)
            .refuses(StatusCode::CONFLICT, &["externally_managed", "owner_floor", "last_local_owner"]),
        delete,
    )
    .document(
        Operation::get("/api/v1/accounts/{id}/assignments", "List the assignments of an account")
            .needs::<ReadAssignments>()
            .pages::<PageParameters>()
            .answers::<Paged<ShownAssignment>>(StatusCode::OK, "A page of those at organizations where the caller may look"),
        of_account,
    )
    .document(
        Operation::get("/api/v1/organizations/{id}/assignments", "List the assignments at an organization")
            .about("Those at the organization itself; what reaches it from above is at the organizations above.")
            .needs::<ReadAssignments>()
            .pages::<PageParameters>()
            .answers::<Paged<ShownAssignment>>(StatusCode::OK, "A page of them"),
        of_organization,
    )
}

impl From<AssignRefusal> for Problem {
    fn from(refusal: AssignRefusal) -> Self {
        let kind = match &refusal {
            AssignRefusal::Denied(_) => Kind::Forbidden,
            AssignRefusal::Ineligible(_) | AssignRefusal::UnknownAccount | AssignRefusal::NoDelegation => Kind::Unprocessable,
            AssignRefusal::OwnerFloor(_)
            | AssignRefusal::LastLocalOwner(_)
            | AssignRefusal::OtherDelegation
            | AssignRefusal::ExternallyManaged(_) => Kind::Conflict,
        };
        let problem = Self::new(kind, refusal.code(), format!("{refusal}."));
        match &refusal {
            AssignRefusal::ExternallyManaged(causes) => problem.with(&Causes { causes: causes.iter().map(ShownCause::of).collect() }),
            _ => problem,
        }
    }
}

#[derive(Serialize)]
struct Causes {
    causes: Vec<ShownCause>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct AssignmentParameters {
    /// Of this account.
    #[param(value_type = Option<String>)]
    account: Option<AccountId>,
    /// Of this role.
    #[param(value_type = Option<String>)]
    role: Option<RoleId>,
    /// At this organization itself.
    #[param(value_type = Option<String>)]
    organization: Option<OrganizationId>,
    /// How many rows at most: 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

async fn list(caller: Caller, Query(sent): Query<AssignmentParameters>) -> Result<Json<Paged<ShownAssignment>>, Problem> {
    let accounts = sent.account.map(|account| [account]);
    let asked = Asked {
        accounts: accounts.as_ref().map(<[AccountId; 1]>::as_slice),
        role: sent.role,
        organization: sent.organization,
        ..Asked::default()
    };
    let name = format!("assignments {:?} {:?} {:?}", sent.account, sent.role, sent.organization);
    read_page(&caller, &name, &ListParameters::of(sent.limit, sent.cursor), asked).await.map(Json)
}

async fn of_account(
    caller: Caller,
    Path(id): Path<AccountId>,
    Query(sent): Query<PageParameters>,
) -> Result<Json<Paged<ShownAssignment>>, Problem> {
    let asked = Asked { accounts: Some(&[id]), ..Asked::default() };
    let seen = places_or_nowhere::<ReadAccounts>(&caller.actor, &caller.model);
    let known = person::find(&seen, caller.db(), caller.tenant, id).await?.is_some();
    let page = list_shown(&caller, &format!("assignments of account {id}"), sent, asked, true).await?;
    // An account without assignments that the caller may see exists for whom sees the account itself.
    if known || !page.items.is_empty() { Ok(Json(page)) } else { Err(Problem::not_found()) }
}

async fn of_organization(
    caller: Caller,
    Path(id): Path<OrganizationId>,
    Query(sent): Query<PageParameters>,
) -> Result<Json<Paged<ShownAssignment>>, Problem> {
    let known = caller.model.organizations.find(id).map(|organization| organization.id);
    caller.authorize_named::<ReadAssignments, ReadOrganizations>(known, Problem::not_found)?;
    let asked = Asked { organization: Some(id), ..Asked::default() };
    list_shown(&caller, &format!("assignments at {id}"), sent, asked, true).await.map(Json)
}

/// Of something that has to be there; who may not look at assignments anywhere is not told whether it is.
pub async fn list_shown(
    caller: &Caller,
    list: &str,
    sent: PageParameters,
    asked: Asked<'_>,
    known: bool,
) -> Result<Paged<ShownAssignment>, Problem> {
    places::<ReadAssignments>(&caller.actor, &caller.model)?;
    if !known {
        return Err(Problem::not_found());
    }
    read_page(caller, list, &sent.into(), asked).await
}

async fn read_page(caller: &Caller, list: &str, sent: &ListParameters, asked: Asked<'_>) -> Result<Paged<ShownAssignment>, Problem> {
    let places = places::<ReadAssignments>(&caller.actor, &caller.model)?;
    let page: Page<AssignmentId> = Page::read(caller, list, sent, &[])?;
    let asked = Asked { places: Some(&places), ..asked };
    let rows = db::assignment_list::list_assignments(caller.db(), caller.tenant, &asked, page.after, page.ask()).await?;
    let rules = names(caller, &rows).await?;
    Ok(page.finish(caller, rows, |row| row.id, |row| ShownAssignment::of(row, &rules)))
}

/// Names of rules, where there are rules.
pub async fn names(caller: &Caller, rows: &[ListedAssignment]) -> Result<HashMap<String, String>, Problem> {
    let has_rules = rows.iter().flat_map(|row| &row.origins).any(|origin| origin.rule.is_some());
    if has_rules { Ok(rule_names(caller.db(), caller.tenant).await?) } else { Ok(HashMap::new()) }
}

async fn find(caller: &Caller, id: AssignmentId) -> Result<Option<ListedAssignment>, Problem> {
    let asked = Asked { id: Some(id), ..Asked::default() };
    Ok(db::assignment_list::list_assignments(caller.db(), caller.tenant, &asked, None, 1).await?.pop())
}

async fn show(caller: &Caller, id: AssignmentId) -> Result<ShownAssignment, Problem> {
    let row = find(caller, id).await?.ok_or_else(Problem::not_found)?;
    let rules = names(caller, std::slice::from_ref(&row)).await?;
    Ok(ShownAssignment::of(row, &rules))
}

async fn get(caller: Caller, Path(id): Path<AssignmentId>) -> Result<Json<ShownAssignment>, Problem> {
    let places = places::<ReadAssignments>(&caller.actor, &caller.model)?;
    let row = find(&caller, id).await?.filter(|row| places.contains(row.organization)).ok_or_else(Problem::not_found)?;
    let rules = names(&caller, std::slice::from_ref(&row)).await?;
    Ok(Json(ShownAssignment::of(row, &rules)))
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAssignment {
    account: AccountId,
    role: RoleId,
    organization: OrganizationId,
    /// The context or resource, for roles that are held in one.
    resource_scope: Option<ScopeId>,
    /// `organization`, or `subtree` for the organizations below too; the tenant's default when it is left out.
    #[schema(value_type = Option<String>)]
    reach: Option<Reach>,
    /// Whether the account may pass the role on.
    #[serde(default)]
    may_delegate: bool,
}

impl NewAssignment {
    fn request(&self, caller: &Caller, wish: Wish) -> Request {
        let default = if self.resource_scope.is_some() { Reach::Organization } else { caller.model.settings.default_reach };
        let holding = Holding {
            role: self.role,
            organization: self.organization,
            resource_scope: self.resource_scope,
            reach: self.reach.unwrap_or(default),
        };
        Request { account: self.account, holding, wish }
    }
}

pub(super) async fn change(caller: &Caller, requests: &[Request], mode: Mode) -> Result<assign::Done, Problem> {
    let done = assign::change(caller.db(), &caller.app.published, &mut caller.occasion(), caller.tenant, requests, mode).await?;
    if done.written {
        caller.committed();
    }
    Ok(done)
}

async fn create(ChangingCaller(caller): ChangingCaller, body: Body) -> Result<Response, Problem> {
    let sent: NewAssignment = body.read()?;
    let request = sent.request(&caller, Wish::Grant { may_delegate: sent.may_delegate });
    match change(&caller, &[request], Mode::Atomic).await?.outcomes.into_iter().next() {
        Some(Outcome::Granted(id)) => Ok((StatusCode::CREATED, Json(show(&caller, id).await?)).into_response()),
        Some(Outcome::Unchanged(Some(id))) => Ok((StatusCode::OK, Json(show(&caller, id).await?)).into_response()),
        Some(Outcome::Refused(refusal)) => Err(refusal.into()),
        Some(Outcome::Unchanged(None) | Outcome::Revoked { .. }) | None => Err(Problem::not_found()),
    }
}

async fn delete(ChangingCaller(caller): ChangingCaller, Path(id): Path<AssignmentId>) -> Result<Response, Problem> {
    let row = find(&caller, id).await?;
    let seen = places::<ReadAssignments>(&caller.actor, &caller.model);
    let own = |row: &ListedAssignment| caller.actor.account_id() == Some(row.account);
    let row = row.filter(|row| own(row) || seen.as_ref().is_ok_and(|places| places.contains(row.organization)));
    let Some(row) = row else { return Err(seen.err().map_or_else(Problem::not_found, Problem::from)) };
    let holding = Holding { role: row.role, organization: row.organization, resource_scope: row.resource_scope, reach: row.reach };
    let request = Request { account: row.account, holding, wish: Wish::Revoke };
    match change(&caller, &[request], Mode::Atomic).await?.outcomes.into_iter().next() {
        Some(Outcome::Revoked { stays: true, .. }) => Ok(Json(show(&caller, id).await?).into_response()),
        Some(Outcome::Refused(refusal)) => Err(refusal.into()),
        Some(Outcome::Revoked { stays: false, .. } | Outcome::Unchanged(_) | Outcome::Granted(_)) | None => {
            Ok(StatusCode::NO_CONTENT.into_response())
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Bulk {
    /// 1 to 1000.
    lines: Vec<Line>,
    /// Everything or nothing: one line that is refused, and none is written. False when it is left out: the others are written.
    #[serde(default)]
    atomic: bool,
    /// Write nothing.
    #[serde(default)]
    preview: bool,
}

/// A line of a bulk request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Line {
    op: LineOp,
    account: AccountId,
    role: RoleId,
    organization: OrganizationId,
    resource_scope: Option<ScopeId>,
    #[schema(value_type = Option<String>)]
    reach: Option<Reach>,
    #[serde(default)]
    may_delegate: bool,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum LineOp {
    Grant,
    Revoke,
}

impl Line {
    fn request(&self, caller: &Caller) -> Request {
        let Self { op, account, role, organization, resource_scope, reach, may_delegate } = *self;
        let wish = match op {
            LineOp::Grant => Wish::Grant { may_delegate },
            LineOp::Revoke => Wish::Revoke,
        };
        NewAssignment { account, role, organization, resource_scope, reach, may_delegate }.request(caller, wish)
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BulkResult {
    /// Whether anything was written.
    written: bool,
    granted: usize,
    revoked: usize,
    unchanged: usize,
    refused: usize,
    /// In the order of the lines.
    lines: Vec<LineResult>,
}

impl BulkResult {
    pub(super) fn of(done: &assign::Done) -> Self {
        let lines: Vec<LineResult> = done.outcomes.iter().enumerate().map(|(at, outcome)| LineResult::of(at, outcome)).collect();
        let count = |word: &str| lines.iter().filter(|line| line.outcome == word).count();
        let written = done.written && lines.iter().any(|line| matches!(line.outcome, "granted" | "revoked"));
        let (granted, revoked, unchanged, refused) = (count("granted"), count("revoked"), count("unchanged"), count("refused"));
        Self { written, granted, revoked, unchanged, refused, lines }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LineResult {
    /// From 0.
    line: usize,
    /// `granted`, `revoked`, `unchanged` or `refused`; what it would be, where nothing was written.
    outcome: &'static str,
    assignment: Option<AssignmentId>,
    /// What people gave is gone, and it stays for another reason.
    stays: bool,
    /// Why it was refused: the stable code.
    code: Option<&'static str>,
    /// Why it was refused, and what would help.
    detail: Option<String>,
    /// What holds it, where it is `externally_managed`.
    causes: Vec<ShownCause>,
}

impl LineResult {
    pub fn of(line: usize, outcome: &Outcome) -> Self {
        let (word, assignment, stays, refusal) = match outcome {
            Outcome::Granted(id) => ("granted", Some(*id), false, None),
            Outcome::Revoked { assignment, stays } => ("revoked", Some(*assignment), *stays, None),
            Outcome::Unchanged(id) => ("unchanged", *id, false, None),
            Outcome::Refused(refusal) => ("refused", None, false, Some(refusal)),
        };
        let causes = match refusal {
            Some(AssignRefusal::ExternallyManaged(causes)) => causes.iter().map(ShownCause::of).collect(),
            Some(_) | None => Vec::new(),
        };
        Self {
            line,
            outcome: word,
            assignment,
            stays,
            code: refusal.map(AssignRefusal::code),
            detail: refusal.map(|refusal| format!("{refusal}.")),
            causes,
        }
    }
}

/// What holds an assignment that people cannot take away.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cause)]
struct ShownCause {
    kind: &'static str,
    /// The slug.
    connection: Option<String>,
    /// The name.
    rule: Option<String>,
    /// Groups that the rule looks for, as the identity provider calls them.
    groups: Vec<String>,
}

impl ShownCause {
    fn of(cause: &Cause) -> Self {
        Self {
            kind: cause.kind,
            connection: cause.connection.as_ref().map(ToString::to_string),
            rule: cause.rule.clone(),
            groups: cause.groups.clone(),
        }
    }
}

async fn bulk(ChangingCaller(caller): ChangingCaller, body: Body) -> Result<Json<BulkResult>, Problem> {
    let sent: Bulk = body.read()?;
    if sent.lines.is_empty() || sent.lines.len() > LINES {
        let detail = format!("A bulk request has 1 to {LINES} lines, not {}: split it.", sent.lines.len());
        return Err(Problem::invalid("too_many", detail).at("lines"));
    }
    let requests: Vec<Request> = sent.lines.iter().map(|line| line.request(&caller)).collect();
    let mode = Mode::asked(sent.preview, sent.atomic);
    Ok(Json(BulkResult::of(&change(&caller, &requests, mode).await?)))
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Assignment)]
pub struct ShownAssignment {
    id: AssignmentId,
    account: Named,
    role: Named,
    /// The name is the slug.
    organization: Named,
    /// The context or resource in which alone it acts.
    resource_scope: Option<Named>,
    #[schema(value_type = String)]
    reach: Reach,
    /// Whether the account may pass it on.
    may_delegate: bool,
    /// Every reason why it is there.
    origins: Vec<ShownOrigin>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Named {
    id: String,
    name: String,
}

impl Named {
    fn of(id: &impl ToString, name: String) -> Self {
        Self { id: id.to_string(), name }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AssignmentOrigin)]
struct ShownOrigin {
    /// `manual`, `scim_rule`, `saml_rule`, `default`, `auto_join`, `first_user`, `invitation`, `directory_sync`, `bootstrap` or `retention`.
    kind: String,
    /// The slug.
    connection: Option<String>,
    /// The name.
    rule: Option<String>,
    /// Who granted it; null: the operator of the host, or nobody.
    by: Option<AccountId>,
    may_delegate: bool,
    since: Moment,
}

impl ShownAssignment {
    pub fn of(row: ListedAssignment, rules: &HashMap<String, String>) -> Self {
        let origin = |origin: ListedOrigin| ShownOrigin {
            kind: origin.kind,
            connection: origin.connection,
            rule: origin.rule.map(|id| rules.get(&id).cloned().unwrap_or(id)),
            by: origin.granted_by,
            may_delegate: origin.may_delegate,
            since: origin.since.into(),
        };
        Self {
            id: row.id,
            account: Named::of(&row.account, row.user_name),
            role: Named::of(&row.role, row.role_name),
            organization: Named::of(&row.organization, row.organization_slug),
            resource_scope: row.resource_scope.map(|id| Named::of(&id, row.scope_name.unwrap_or_default())),
            reach: row.reach,
            may_delegate: row.origins.iter().any(|origin| origin.may_delegate),
            origins: row.origins.into_iter().map(origin).collect(),
        }
    }
}
