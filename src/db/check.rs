//! What the permission check needs of accounts, in one statement: what they hold, whether they are let in, and the versions of that and of
//! the role model at the same moment. One statement sees one state, so what it says is never older than the last commit before it.

mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::words::rows;
use super::{
    Db, DbError,
    assignment::{HeldColumns, OriginColumns},
    column,
    engine::Query,
    identity::{dormant, identity_of_origin},
};
use crate::domain::{
    account::SignInStatus,
    assignment::{Assignment, OriginRow},
    id::{AccountId, AssignmentId, ConnectionId, TenantId},
};

/// What an account holds, and the version that every change of it raises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings {
    pub version: i64,
    pub assignments: Vec<Assignment>,
}

impl Holdings {
    /// The connections that gave something of it.
    #[must_use]
    pub fn givers(&self) -> BTreeSet<ConnectionId> {
        self.assignments.iter().flat_map(|held| &held.origins).filter_map(|row| row.origin.connection()).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    pub status: SignInStatus,
    /// Of what the account holds now.
    pub held_version: i64,
}

/// A connection that gave something to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Giver {
    pub slug: String,
    /// The published one.
    pub mapping_version: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub model_version: i64,
    /// Those that are there.
    pub accounts: BTreeMap<AccountId, AccountState>,
    /// What those of them hold of whom it was not known.
    pub read: BTreeMap<AccountId, Arc<Holdings>>,
    pub givers: BTreeMap<ConnectionId, Giver>,
}

/// One row; each text holds rows of its own, as [`words`] says.
#[derive(sqlx::FromRow)]
struct Row {
    model_version: i64,
    accounts: Option<String>,
    held: Option<String>,
    origins: Option<String>,
    givers: Option<String>,
}

impl Row {
    fn accounts(&self) -> Result<BTreeMap<AccountId, AccountState>, DbError> {
        let read = |row: Result<_, _>| {
            let [id, status, held_version] = row?;
            let held_version = column::number("held_version.version", held_version)?;
            Ok((column::id("account.id", id)?, AccountState { status: column::word("account.status", status)?, held_version }))
        };
        rows("account", self.accounts.as_deref()).map(read).collect()
    }

    fn held(&self) -> impl Iterator<Item = Result<Assignment, DbError>> {
        rows("assignment", self.held.as_deref()).map(|row| {
            let [id, account, role, organization, resource_scope, reach] = row?;
            HeldColumns { id, account, role, organization, resource_scope, reach }.read()
        })
    }

    /// By the assignment, in an order that is always the same.
    fn origins(&self) -> Result<BTreeMap<AssignmentId, Vec<OriginRow>>, DbError> {
        let mut origins: BTreeMap<_, Vec<OriginRow>> = BTreeMap::new();
        for row in rows("assignment_origin", self.origins.as_deref()) {
            let [assignment, kind, connection, rule, granted_by, may_delegate, since_ms, dormant] = row?;
            let origin = OriginColumns {
                kind,
                connection,
                rule,
                granted_by: (granted_by != NOBODY).then_some(granted_by),
                may_delegate: column::truth("assignment_origin.may_delegate", may_delegate)?,
                since_ms: column::number("assignment_origin.since_ms", since_ms)?,
                dormant: column::truth("whether an origin is dormant", dormant)?,
            };
            origins.entry(column::id("assignment_origin.assignment", assignment)?).or_default().push(origin.read()?);
        }
        for because in origins.values_mut() {
            because.sort_by_key(|row| row.origin);
        }
        Ok(origins)
    }

    fn givers(&self) -> Result<BTreeMap<ConnectionId, Giver>, DbError> {
        let read = |row: Result<_, _>| {
            let [id, slug, mapping_version] = row?;
            let mapping_version = column::number("connection.mapping_version", mapping_version)?;
            Ok((column::id("connection.id", id)?, Giver { slug: slug.to_owned(), mapping_version }))
        };
        rows("connection", self.givers.as_deref()).map(read).collect()
    }

    fn facts(&self, known: &BTreeMap<AccountId, Arc<Holdings>>) -> Result<Facts, DbError> {
        let (accounts, mut origins) = (self.accounts()?, self.origins()?);
        let unknown = accounts.iter().filter(|(account, _)| !known.contains_key(account));
        let mut read: BTreeMap<_, _> =
            unknown.map(|(account, state)| (*account, Holdings { version: state.held_version, assignments: Vec::new() })).collect();
        for assignment in self.held() {
            let mut assignment = assignment?;
            assignment.origins = origins.remove(&assignment.id).unwrap_or_default();
            if let Some(holdings) = read.get_mut(&assignment.account) {
                holdings.assignments.push(assignment);
            }
        }
        for holdings in read.values_mut() {
            holdings.assignments.sort_by_key(|held| held.id);
        }
        let read = read.into_iter().map(|(account, holdings)| (account, Arc::new(holdings))).collect();
        Ok(Facts { model_version: self.model_version, accounts, read, givers: self.givers()? })
    }
}

/// In the place of an absent `granted_by`.
const NOBODY: &str = "-";

/// `None` when there is no such tenant. What is `known` of some of the accounts is not read again. At least one account, and with the
/// connections that gave what is known at most [`super::SET_LIMIT`].
///
/// Each word that is given is a letter and an identifier: an account that is `k`nown, one that is `u`nknown, or a connection, the `g`iver of
/// something known. Values cost too, therefore it is one and not two.
///
/// Origins are sought by their account, not by each of its assignments: a third of the index look-ups. SQLite does not reorder a `cross join`:
/// it would rather walk all accounts of the tenant than trust that few are asked about.
pub async fn read_facts(
    db: &Db,
    tenant: TenantId,
    accounts: &BTreeSet<AccountId>,
    known: &BTreeMap<AccountId, Arc<Holdings>>,
) -> Result<Option<Facts>, DbError> {
    let sql = concat!(
        "with given (word) as (values {($2)}),
        asked (kind, id) as (select substr(word, 1, 1), substr(word, 2) from given),
        origin as (
            select o.assignment, o.kind, o.connection, o.rule, o.granted_by, o.may_delegate, o.since_ms, ",
        dormant!(),
        " as dormant
            from asked cross join assignment_origin o",
        identity_of_origin!(),
        "where asked.kind = 'u' and o.tenant = $1 and o.account = asked.id
        )
        select t.model_version,
            (select string_agg(concat_ws(' ', a.id, a.status, coalesce(h.version, 0)), ',')
                from asked cross join account a
                left join held_version h on h.tenant = a.tenant and h.account = a.id
                where asked.kind <> 'g' and a.tenant = $1 and a.id = asked.id) as accounts,
            (select string_agg(concat_ws(' ', s.id, s.account, s.role, s.organization, s.resource_scope, s.reach), ',')
                from asked cross join assignment s
                where asked.kind = 'u' and s.tenant = $1 and s.account = asked.id) as held,
            (select string_agg(concat_ws(' ', assignment, kind, connection, rule, coalesce(granted_by, '-'),
                    case when may_delegate then 1 else 0 end, since_ms, case when dormant then 1 else 0 end), ',')
                from origin) as origins,
            (select string_agg(concat_ws(' ', c.id, c.slug, c.mapping_version), ',')
                from (select id from asked where kind = 'g' union select connection from origin) g cross join connection c
                where c.tenant = $1 and c.id = g.id) as givers
        from tenant t
        where t.id = $1"
    );
    let givers: BTreeSet<ConnectionId> = known.values().flat_map(|holdings| holdings.givers()).collect();
    let kind = |account| if known.contains_key(account) { 'k' } else { 'u' };
    let words = accounts.iter().map(|account| format!("{}{account}", kind(account))).chain(givers.iter().map(|giver| format!("g{giver}")));
    let query = db.query_set(sql, accounts.len() + givers.len()).bind(tenant.to_string());
    words.fold(query, Query::bind).optional::<Row>().await?.map(|row| row.facts(known)).transpose()
}
