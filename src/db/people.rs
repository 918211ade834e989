//! Accounts as administrators are shown them: those that somebody may see, by a condition, a page at a time.

use std::collections::BTreeSet;

use super::{
    Db, DbError, SET_LIMIT, Tx, column,
    engine::Target,
    filter::Condition,
    statement::{Statement, text},
};
use crate::{
    domain::{
        account::{AccountKind, SignInStatus},
        id::{AccountId, OrganizationId, RoleId, TenantId},
        time::Timestamp,
    },
    policy::places::Places,
};

/// An account with what its administration needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRow {
    pub id: AccountId,
    pub user_name: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
    pub kind: AccountKind,
    pub home_organization: Option<OrganizationId>,
    /// The slug of the connection whose facts name the account.
    pub connection: Option<String>,
    pub status: SignInStatus,
    /// What people decided of it.
    pub standing: SignInStatus,
    pub has_local_credential: bool,
    pub verified_at: Option<Timestamp>,
    pub version: i64,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    user_name: String,
    email: Option<String>,
    display_name: Option<String>,
    kind: String,
    home_organization: Option<String>,
    slug: Option<String>,
    status: String,
    standing: String,
    has_local_credential: bool,
    verified_at_ms: Option<i64>,
    version: i64,
    created_at_ms: i64,
    changed_at_ms: i64,
}

impl Row {
    fn read(self) -> Result<PersonRow, DbError> {
        Ok(PersonRow {
            id: column::id("account.id", &self.id)?,
            user_name: self.user_name,
            email: self.email,
            display_name: self.display_name,
            kind: column::word("account.kind", &self.kind)?,
            home_organization: column::optional_id("account.home_organization", self.home_organization.as_deref())?,
            connection: self.slug,
            status: column::word("account.status", &self.status)?,
            standing: column::word("account.standing", &self.standing)?,
            has_local_credential: self.has_local_credential,
            verified_at: column::time(self.verified_at_ms),
            version: self.version,
            created_at: Timestamp::from_millis(self.created_at_ms),
            changed_at: Timestamp::from_millis(self.changed_at_ms),
        })
    }
}

/// Which accounts are asked for.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Those at home or members there.
    pub places: &'a Places,
    pub condition: Option<&'a Condition>,
    pub lacking: Option<Lacking<'a>>,
    pub ids: Option<&'a [AccountId]>,
}

/// Those to whom a role does not reach at an organization.
#[derive(Debug, Clone, Copy)]
pub struct Lacking<'a> {
    pub role: RoleId,
    pub organization: OrganizationId,
    /// The organizations above.
    pub above: &'a [OrganizationId],
}

/// A page in the order of ids, after `after`.
pub async fn list_people(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    asked: &Asked<'_>,
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<PersonRow>, DbError> {
    let mut statement = Statement::new(
        "select r.id, r.user_name, r.email, r.display_name, r.kind, r.home_organization, connection.slug, r.status, r.standing,
             r.has_local_credential, r.verified_at_ms, r.version, r.created_at_ms, r.changed_at_ms
         from account r left join connection on connection.tenant = r.tenant and connection.id = r.profile_connection
         where r.tenant = ?",
        [text(&tenant)],
    );
    if let Some(after) = after {
        statement.push(" and r.id > ?", [text(&after)]);
    }
    if let Places::Only(places) = asked.places {
        let ids = || places.iter().map(ToString::to_string);
        statement.push(" and (r.home_organization in ", []).push_set(ids());
        statement.push(" or exists (select 1 from membership m where m.tenant = r.tenant and m.account = r.id and m.organization in ", []);
        statement.push_set(ids()).push("))", []);
    }
    if let Some(ids) = asked.ids {
        statement.push(" and r.id in ", []).push_set(ids.iter().map(ToString::to_string));
    }
    if let Some(lacking) = asked.lacking {
        statement.push(
            " and not exists (select 1 from assignment a where a.tenant = r.tenant and a.account = r.id and a.role = ?
                and a.resource_scope = '' and (a.organization = ? or (a.reach = 'subtree' and a.organization in ",
            [text(&lacking.role), text(&lacking.organization)],
        );
        statement.push_set(lacking.above.iter().map(ToString::to_string)).push(")))", []);
    }
    if let Some(condition) = asked.condition {
        statement.push(" and ", []).push_condition(condition);
    }
    statement.push(" order by r.id limit ?", [limit.into()]);
    statement.all::<Row>(source).await?.into_iter().map(Row::read).collect()
}

/// Of these accounts, those at home or members at the places.
pub async fn list_visible(tx: &mut Tx, tenant: TenantId, places: &Places, ids: &[AccountId]) -> Result<BTreeSet<AccountId>, DbError> {
    let mut found = BTreeSet::new();
    for chunk in ids.chunks(SET_LIMIT) {
        let asked = Asked { places, condition: None, lacking: None, ids: Some(chunk) };
        let most = i64::try_from(chunk.len()).expect("a chunk is small");
        found.extend(list_people(&mut *tx, tenant, &asked, None, most).await?.into_iter().map(|row| row.id));
    }
    Ok(found)
}

/// One account, whoever may see it; `None` when the tenant has none of this id.
pub async fn find_person(db: &Db, tenant: TenantId, id: AccountId) -> Result<Option<PersonRow>, DbError> {
    let asked = Asked { places: &Places::Everywhere, condition: None, lacking: None, ids: Some(&[id]) };
    Ok(list_people(db, tenant, &asked, None, 1).await?.pop())
}

/// Organizations of which each account is a member, since when.
pub async fn list_memberships(
    db: &Db,
    tenant: TenantId,
    accounts: &[AccountId],
) -> Result<Vec<(AccountId, OrganizationId, Timestamp)>, DbError> {
    let mut statement =
        Statement::new("select account, organization, since_ms from membership where tenant = ? and account in ", [text(&tenant)]);
    statement.push_set(accounts.iter().map(ToString::to_string)).push(" order by account, since_ms, organization", []);
    let rows: Vec<(String, String, i64)> = statement.all(db).await?;
    rows.into_iter()
        .map(|(account, organization, since)| {
            let organization = column::id("membership.organization", &organization)?;
            Ok((column::id("membership.account", &account)?, organization, Timestamp::from_millis(since)))
        })
        .collect()
}
