//! Accounts: who there is, what they hold, and what people decide of them.

use std::collections::{BTreeSet, HashMap};

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    assignments::{ShownAssignment, names},
    extract::{Body, Path, Query},
    paging::{ListParameters, Page, Paged},
    precondition::{IfMatch, etag},
    value::Moment,
};
use crate::{
    admin::person::{self, Desk, SUBJECT},
    db::{
        self,
        assignment_list::{Asked, ListedAssignment},
        filter::Condition,
        people::PersonRow,
    },
    domain::{
        account::{AccountKind, SignInStatus},
        id::{AccountId, OrganizationId},
        time::Timestamp,
    },
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    policy::{
        action::{ConfigureSignIn, DeleteAccounts, DisableAccounts, ReadAccounts, ReadAssignments, VerifyAccounts},
        places::{Places, places},
    },
    provision::{Precondition, assign::AssignRefusal, person::PersonError},
    scim::{filter::Filter, schema::Schemas},
};

const PATH: &str = "/api/v1/accounts";
const ONE: &str = "/api/v1/accounts/{id}";
/// What a filter may name.
const KNOWN: &[&str] = &["id", "userName", "displayName", "active", "emails", "roles", "value"];
/// Accounts that are looked at in one go where a filter asks for what stands in no column.
const SCAN: i64 = 1000;
/// Assignments that are read in one go.
const HELD: i64 = 2000;

pub fn routes() -> Routes {
    Routes::chapter(
        "Accounts",
        "People and machines of the tenant. Changing one takes the right to, at its home organization, that every role the account holds anywhere and every group it is in is one that the caller's role manages, and of an owner of some place, that the caller is one there.",
    )
    .document(
        Operation::get(PATH, "List accounts")
            .about("`filter` knows `id`, `userName`, `displayName`, `active`, `emails` and `roles` (names of roles that are held), such as `roles.value eq \"Auditor\" and active eq true`.")
            .needs::<ReadAccounts>()
            .pages::<ListParameters>()
            .answers::<Paged<AccountRow>>(StatusCode::OK, "A page of those at home or members where the caller may look"),
        list,
    )
    .document(
        Operation::get(ONE, "Show an account").needs::<ReadAccounts>().versioned().answers::<AccountRow>(StatusCode::OK, "The account and what it holds"),
        get,
    )
    .document(
        Operation::delete(ONE, "Delete an account")
            .about("With its assignments, identities and sessions. One that a directory keeps is deleted there.")
            .needs::<DeleteAccounts>()
            .versioned()
            .answers_nothing("It is gone")
            .refuses(StatusCode::FORBIDDEN, &["out_of_reach"])
            .refuses(StatusCode::CONFLICT, &["externally_managed", "owner_floor", "last_local_owner"]),
        delete,
    )
    .document(
        decision("/api/v1/accounts/{id}/disable", "Block an account")
            .about("Its sessions end at once. What it holds stays and sleeps; no directory lets it in again.")
            .refuses(StatusCode::CONFLICT, &["owner_floor", "last_local_owner"])
            .needs::<DisableAccounts>(),
        disable,
    )
    .document(
        decision("/api/v1/accounts/{id}/enable", "Let an account in")
            .about("One that was blocked, or that waits for approval. It can sign in as soon as it has a way to.")
            .needs::<DisableAccounts>(),
        enable,
    )
    .document(decision("/api/v1/accounts/{id}/verify", "Mark an account as verified").needs::<VerifyAccounts>(), verify)
    .document(decision("/api/v1/accounts/{id}/unverify", "Take back the mark of an account").needs::<VerifyAccounts>(), unverify)
    .document(
        Operation::post("/api/v1/accounts/{id}/identities", "Link an identity")
            .about("One more way into the account: a subject of a connection. Also the answer where a sign-in was refused because it is not clear whose account it is.")
            .needs::<ConfigureSignIn>()
            .takes::<NewIdentity>()
            .versioned()
            .answers::<AccountRow>(StatusCode::OK, "It is linked")
            .refuses(StatusCode::FORBIDDEN, &["owner_only"])
            .refuses(StatusCode::CONFLICT, &["linked_otherwise", "subject_taken"])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["subject", "tenant_mismatch"]),
        link,
    )
}

fn decision(path: &'static str, summary: &'static str) -> Operation {
    Operation::post(path, summary)
        .versioned()
        .answers::<AccountRow>(StatusCode::OK, "As it is now")
        .refuses(StatusCode::FORBIDDEN, &["out_of_reach"])
}

impl From<PersonError> for Problem {
    fn from(error: PersonError) -> Self {
        match error {
            PersonError::NotFound => Self::not_found(),
            PersonError::Denied(denied) => denied.into(),
            PersonError::Owners(refusal) => AssignRefusal::into(refusal),
            PersonError::Stale => Self::stale(),
            PersonError::ExternallyManaged(_) => Self::conflict("externally_managed", format!("{error}.")),
            PersonError::LinkedOtherwise => Self::conflict("linked_otherwise", format!("{error}.")),
            PersonError::SubjectTaken => Self::conflict("subject_taken", format!("{error}.")),
            PersonError::Provision(error) => error.into(),
        }
    }
}

async fn list(caller: Caller, Query(sent): Query<ListParameters>) -> Result<Json<Paged<AccountRow>>, Problem> {
    let seen = person::may_read(&caller.actor, &caller.model)?;
    let page: Page<AccountId> = Page::read(&caller, "accounts", &sent, KNOWN)?;
    let rows = match &page.filter {
        Some(filter) => filtered(&caller, &seen, filter, page.after, page.ask()).await?,
        None => person::list(&seen, caller.db(), caller.tenant, None, page.after, page.ask()).await?,
    };
    let mut details = Details::read(&caller, &rows).await?;
    Ok(Json(page.finish(&caller, rows, |row| row.id, |row| details.row(&caller, row))))
}

/// Conditions on roles, times the organizations at which they are asked, that one statement takes.
const HELD_AT: usize = 8_000;

/// What the columns cannot tell is looked at row by row.
async fn filtered(
    caller: &Caller,
    seen: &Places,
    filter: &Filter,
    mut after: Option<AccountId>,
    ask: i64,
) -> Result<Vec<PersonRow>, Problem> {
    let names_roles = filter.attributes().any(|path| path.name.eq_ignore_ascii_case("roles"));
    // Whoever may not look at assignments does not learn of them by asking for accounts, nor of those beyond where they may look.
    let held_at = if names_roles { places::<ReadAssignments>(&caller.actor, &caller.model)? } else { Places::Everywhere };
    if let Places::Only(places) = &held_at {
        let terms = filter.attributes().filter(|path| path.name.eq_ignore_ascii_case("roles")).count();
        if terms > 1 && terms * places.len() > HELD_AT {
            let detail = format!("{terms} conditions on roles at {} organizations are too many at once: ask in parts.", places.len());
            return Err(Problem::invalid("invalid_filter", detail).at("filter"));
        }
    }
    let condition = Condition::of_accounts(filter, &held_at);
    let wanted = usize::try_from(ask).unwrap_or(usize::MAX);
    let chunk = if condition.is_exact() { ask } else { SCAN };
    let mut found = Vec::new();
    loop {
        let rows = person::list(seen, caller.db(), caller.tenant, Some(&condition), after, chunk).await?;
        let is_last = i64::try_from(rows.len()).is_ok_and(|read| read < chunk);
        after = rows.last().map(|row| row.id);
        let roles = if names_roles && !condition.is_exact() { roles_of(caller, &held_at, &rows).await? } else { Roles::new() };
        found.extend(rows.into_iter().filter(|row| condition.is_exact() || matches(filter, row, &roles)));
        if is_last || found.len() >= wanted {
            found.truncate(wanted);
            return Ok(found);
        }
    }
}

/// Names of roles that each account holds.
type Roles = HashMap<AccountId, Vec<String>>;

async fn roles_of(caller: &Caller, held_at: &Places, rows: &[PersonRow]) -> Result<Roles, Problem> {
    let mut roles = Roles::new();
    for held in held(caller, held_at, rows).await? {
        roles.entry(held.account).or_default().push(held.role_name);
    }
    Ok(roles)
}

/// What these accounts hold there; read by pages, because somebody may hold much, and a statement has room for so many values.
async fn held(caller: &Caller, held_at: &Places, rows: &[PersonRow]) -> Result<Vec<ListedAssignment>, Problem> {
    let ids: Vec<AccountId> = rows.iter().map(|row| row.id).collect();
    let asked = Asked { accounts: Some(&ids), places: Some(held_at), ..Asked::default() };
    let mut all: Vec<ListedAssignment> = Vec::new();
    loop {
        let after = all.last().map(|held| held.id);
        let page = db::assignment_list::list_assignments(caller.db(), caller.tenant, &asked, after, HELD).await?;
        let is_last = i64::try_from(page.len()).is_ok_and(|read| read < HELD);
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

fn matches(filter: &Filter, row: &PersonRow, roles: &Roles) -> bool {
    let value = |value: &String| json!({ "value": value });
    let document = json!({
        "id": row.id,
        "userName": row.user_name,
        "displayName": row.display_name,
        "active": row.status == SignInStatus::Active,
        "emails": row.email.iter().map(value).collect::<Vec<_>>(),
        "roles": roles.get(&row.id).into_iter().flatten().map(value).collect::<Vec<_>>(),
    });
    document.as_object().is_some_and(|document| filter.matches(document, &Schemas::standard().user))
}

async fn get(caller: Caller, Path(id): Path<AccountId>) -> Result<Response, Problem> {
    let seen = person::may_read(&caller.actor, &caller.model)?;
    let row = person::find(&seen, caller.db(), caller.tenant, id).await?.ok_or_else(Problem::not_found)?;
    answer(&caller, row).await
}

async fn answer(caller: &Caller, row: PersonRow) -> Result<Response, Problem> {
    let version = row.version;
    let mut details = Details::read(caller, std::slice::from_ref(&row)).await?;
    Ok(([etag(version)], Json(details.row(caller, row))).into_response())
}

/// As it is after a change.
async fn changed(caller: &Caller, id: AccountId) -> Result<Response, Problem> {
    caller.committed();
    let row = db::people::find_person(caller.db(), caller.tenant, id).await?.ok_or_else(Problem::not_found)?;
    answer(caller, row).await
}

fn desk(caller: &Caller) -> Desk<'_> {
    Desk { db: caller.db(), cache: &caller.app.published, tenant: caller.tenant }
}

async fn set_standing(caller: &Caller, id: AccountId, precondition: Precondition, standing: SignInStatus) -> Result<Response, Problem> {
    desk(caller).set_standing(&mut caller.occasion(), id, precondition, standing).await?;
    changed(caller, id).await
}

async fn disable(
    ChangingCaller(caller): ChangingCaller,
    Path(id): Path<AccountId>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, Problem> {
    set_standing(&caller, id, precondition, SignInStatus::Blocked).await
}

async fn enable(
    ChangingCaller(caller): ChangingCaller,
    Path(id): Path<AccountId>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, Problem> {
    set_standing(&caller, id, precondition, SignInStatus::Active).await
}

async fn set_verified(caller: &Caller, id: AccountId, precondition: Precondition, verified: bool) -> Result<Response, Problem> {
    desk(caller).set_verified(&mut caller.occasion(), id, precondition, verified).await?;
    changed(caller, id).await
}

async fn verify(
    ChangingCaller(caller): ChangingCaller,
    Path(id): Path<AccountId>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, Problem> {
    set_verified(&caller, id, precondition, true).await
}

async fn unverify(
    ChangingCaller(caller): ChangingCaller,
    Path(id): Path<AccountId>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, Problem> {
    set_verified(&caller, id, precondition, false).await
}

async fn delete(
    ChangingCaller(caller): ChangingCaller,
    Path(id): Path<AccountId>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    desk(&caller).delete(&mut caller.occasion(), id, precondition).await?;
    caller.committed();
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewIdentity {
    /// The slug of the connection.
    connection: String,
    /// What its SAML responses say of the person: the NameID, or the value of the attribute that stands for it.
    subject: String,
}

async fn link(
    ChangingCaller(caller): ChangingCaller,
    Path(id): Path<AccountId>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    // The right at the root, or where the caller is an owner: before anything of the body is looked at.
    places::<ConfigureSignIn>(&caller.actor, &caller.model)?;
    let sent: NewIdentity = body.read()?;
    let (connection, grant) = caller.authorize_connection::<ConfigureSignIn>(&sent.connection).await.map_err(|problem| {
        let unknown = || Problem::unprocessable("tenant_mismatch", "The connection is not one of this tenant.").at("connection");
        if problem.is_not_found() { unknown() } else { problem }
    })?;
    let subject = sent.subject.trim();
    if subject.is_empty() || subject.chars().count() > SUBJECT || subject.chars().any(char::is_control) {
        return Err(Problem::unprocessable(
            "subject",
            "subject is what the identity provider calls the person, without control characters.",
        )
        .at("subject"));
    }
    desk(&caller).link(&grant, &mut caller.occasion(), id, precondition, &connection, subject).await?;
    changed(&caller, id).await
}

/// An account with what it holds, as far as the caller may look.
#[derive(Debug, Serialize, ToSchema)]
struct AccountRow {
    account: ShownAccount,
    assignments: Vec<ShownAssignment>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub struct ShownAccount {
    id: AccountId,
    user_name: String,
    email: Option<String>,
    display_name: Option<String>,
    /// Whether it can sign in.
    active: bool,
    /// The slug of the connection whose facts name the account; a local account has none.
    connection: Option<String>,
    /// `human` or `machine`.
    #[schema(value_type = String)]
    kind: AccountKind,
    status: Status,
    /// The slug of its home organization; null where it has none, and where the caller does not see accounts there.
    home_organization: Option<String>,
    /// Since when it is marked as verified.
    verified_at: Option<Moment>,
    created_at: Moment,
    changed_at: Moment,
}

/// Of the tenant, and of each organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountStatus)]
struct Status {
    /// `active`, `pending` (waits for approval) or `blocked`.
    #[schema(value_type = String)]
    sign_in: SignInStatus,
    /// What people decided; it counts while there is a way to sign in.
    #[schema(value_type = String)]
    decided: SignInStatus,
    /// Where it is a member, as far as the caller sees accounts there.
    memberships: Vec<Membership>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Membership {
    /// The slug.
    organization: String,
    since: Moment,
}

impl ShownAccount {
    /// As far as the caller sees organizations.
    pub fn of(caller: &Caller, seen: &Places, row: PersonRow) -> Self {
        Self::with(caller, seen, row, Vec::new())
    }

    fn with(caller: &Caller, seen: &Places, row: PersonRow, memberships: Vec<Membership>) -> Self {
        Self {
            id: row.id,
            user_name: row.user_name,
            email: row.email,
            display_name: row.display_name,
            active: row.status == SignInStatus::Active,
            connection: row.connection,
            kind: row.kind,
            status: Status { sign_in: row.status, decided: row.standing, memberships },
            home_organization: row.home_organization.filter(|id| seen.contains(*id)).and_then(|id| slug(caller, id)),
            verified_at: row.verified_at.map(Moment),
            created_at: row.created_at.into(),
            changed_at: row.changed_at.into(),
        }
    }
}

fn slug(caller: &Caller, id: OrganizationId) -> Option<String> {
    caller.model.organizations.find(id).map(|organization| organization.slug.to_string())
}

/// What a page of accounts holds and belongs to.
struct Details {
    seen: Places,
    held: Vec<ListedAssignment>,
    rules: HashMap<String, String>,
    memberships: Vec<(AccountId, OrganizationId, Timestamp)>,
}

impl Details {
    async fn read(caller: &Caller, rows: &[PersonRow]) -> Result<Self, Problem> {
        let ids: Vec<AccountId> = rows.iter().map(|row| row.id).collect();
        let seen = person::may_read(&caller.actor, &caller.model).unwrap_or_else(|_| Places::Only(BTreeSet::new()));
        let mut memberships = db::people::list_memberships(caller.db(), caller.tenant, &ids).await?;
        memberships.retain(|(_, organization, _)| seen.contains(*organization));
        // Who may not look at assignments sees none.
        let Ok(places) = places::<ReadAssignments>(&caller.actor, &caller.model) else {
            return Ok(Self { seen, held: Vec::new(), rules: HashMap::new(), memberships });
        };
        let held = held(caller, &places, rows).await?;
        let rules = names(caller, &held).await?;
        Ok(Self { seen, held, rules, memberships })
    }

    fn row(&mut self, caller: &Caller, row: PersonRow) -> AccountRow {
        let of_row = self.memberships.iter().filter(|(account, ..)| *account == row.id);
        let memberships =
            of_row.filter_map(|(_, id, since)| Some(Membership { organization: slug(caller, *id)?, since: (*since).into() })).collect();
        let assignments = self.held.extract_if(.., |held| held.account == row.id).collect::<Vec<_>>();
        AccountRow {
            assignments: assignments.into_iter().map(|held| ShownAssignment::of(held, &self.rules)).collect(),
            account: ShownAccount::with(caller, &self.seen, row, memberships),
        }
    }
}
