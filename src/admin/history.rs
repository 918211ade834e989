//! Why somebody held a role at a time that is past: their assignments, made again from the audit trail.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    db::{
        self, Db, DbError,
        audit_trail::{self, AssignmentEvent, RoleEvent},
    },
    domain::{
        assignment::Assignment,
        id::{AccountId, TenantId},
        model::RoleModel,
        name::fold,
        time::Timestamp,
    },
};

/// One reason, from when it came until it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PastReason)]
pub struct Reason {
    /// As it was called then.
    pub role: String,
    /// The slug, as it was then.
    pub organization: String,
    pub reach: String,
    /// The id.
    pub resource_scope: Option<String>,
    /// The kind of origin: `manual`, `scim_rule`, ….
    pub origin: String,
    /// The id.
    pub connection: Option<String>,
    /// As it is today.
    pub connection_slug: Option<String>,
    /// The rule's name, as it was then.
    pub rule: Option<String>,
    /// Which version of the connection's mapping decided.
    pub mapping_version: Option<i64>,
    /// Who did it: an account, a SCIM token, a connection's identity provider, the operator of the host; `unknown` where the row was archived.
    pub by_kind: String,
    pub by: Option<String>,
    /// Empty where it was before the trail begins.
    pub since: String,
    /// When it went, where that was before the time asked for.
    #[schema(format = DateTime)]
    pub until: Option<String>,
}

/// What the trail says about one role of one account at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RoleAtATime)]
pub struct Past {
    pub held: bool,
    /// Why, when it was held then.
    pub because: Vec<Reason>,
    /// The last reason that was there before, when it was not.
    pub before: Option<Reason>,
}

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("no role of this tenant is or was called {0:?}")]
    UnknownRole(String),
    #[error("{0} is in the future: name a time that is past")]
    Future(Timestamp),
    #[error("what was before {0} is in an archive: this database has the audit trail from then on")]
    Archived(Timestamp),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// `role` is the name that it had at `at`; where none had it then, a name that it had before or has since.
pub async fn role_at(
    db: &Db,
    tenant: TenantId,
    account: AccountId,
    role: &str,
    at: Timestamp,
    now: Timestamp,
) -> Result<Past, HistoryError> {
    if at > now {
        return Err(HistoryError::Future(at));
    }
    if let Some(begins) = audit_trail::begins_at(db, tenant).await?.filter(|begins| at < *begins) {
        return Err(HistoryError::Archived(begins));
    }
    let corrupt = |error: serde_json::Error| DbError::corrupt("an audit row's detail", &error);
    let events = read(audit_trail::list_assignment_events(db, tenant, account).await?).map_err(corrupt)?;
    let mut names = names(&audit_trail::list_role_events(db, tenant).await?, &events).map_err(corrupt)?;
    names.sort_by_key(|name| name.at_ms);
    let roles = db::role::list_roles(db, tenant).await?;
    let today: Vec<_> = roles.iter().map(|row| (row.role.id.to_string(), row.role.name.to_string())).collect();
    let wanted = called(&names, &today, role, at);
    if wanted.is_empty() {
        return Err(HistoryError::UnknownRole(role.chars().take(256).collect()));
    }
    let held =
        Held { model: &db::model::load_model(db, tenant).await?, assignments: &db::assignment::list_held(db, tenant, account).await? };
    let mut past = replay(&events, &held, &wanted, at);
    let connections = db::connection::list_connections(db, tenant).await?;
    for reason in past.because.iter_mut().chain(&mut past.before) {
        let known = connections.iter().find(|row| Some(row.connection.id.to_string()) == reason.connection);
        reason.connection_slug = known.map(|row| row.connection.slug.to_string());
    }
    Ok(past)
}

/// A row with its detail read.
struct Event {
    row: AssignmentEvent,
    detail: Value,
}

fn read(rows: Vec<AssignmentEvent>) -> Result<Vec<Event>, serde_json::Error> {
    rows.into_iter().map(|row| Ok(Event { detail: serde_json::from_str(&row.detail)?, row })).collect()
}

impl Event {
    fn role(&self) -> &str {
        self.detail["role"]["id"].as_str().unwrap_or_default()
    }
}

/// A role was called so at a time.
struct Naming {
    at_ms: i64,
    role: String,
    name: String,
}

fn names(of_roles: &[RoleEvent], of_assignments: &[Event]) -> Result<Vec<Naming>, serde_json::Error> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut names = Vec::new();
    for event in of_roles {
        let detail: Value = serde_json::from_str(&event.detail)?;
        names.push(Naming { at_ms: event.at_ms, role: event.role.clone(), name: text(&detail["name"]) });
    }
    names.extend(of_assignments.iter().map(|event| Naming {
        at_ms: event.row.at_ms,
        role: event.role().to_owned(),
        name: text(&event.detail["role"]["name"]),
    }));
    Ok(names)
}

/// The roles that were called so then; where there is none, those that ever were.
fn called(names: &[Naming], today: &[(String, String)], role: &str, at: Timestamp) -> BTreeSet<String> {
    let wanted = fold(role);
    let mut then: BTreeMap<&str, &str> = today.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
    // The first name after the time, where there is none before it; else the last one before it.
    then.extend(names.iter().rev().filter(|name| name.at_ms > at.millis()).map(|name| (name.role.as_str(), name.name.as_str())));
    then.extend(names.iter().filter(|name| name.at_ms <= at.millis()).map(|name| (name.role.as_str(), name.name.as_str())));
    let so_called: BTreeSet<String> = then.iter().filter(|(_, name)| fold(name) == wanted).map(|(id, _)| (*id).to_owned()).collect();
    if !so_called.is_empty() {
        return so_called;
    }
    let ever = names.iter().map(|name| (&name.role, &name.name)).chain(today.iter().map(|(id, name)| (id, name)));
    ever.filter(|(_, name)| fold(name) == wanted).map(|(id, _)| id.clone()).collect()
}

/// What the account holds today.
struct Held<'h> {
    model: &'h RoleModel,
    assignments: &'h [Assignment],
}

/// Forward from where the trail begins. What it begins in the middle of shows by its end, or by being there today.
fn replay(events: &[Event], held: &Held, wanted: &BTreeSet<String>, at: Timestamp) -> Past {
    let mut live: BTreeMap<String, Reason> = BTreeMap::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut before = None;
    for event in events.iter().filter(|event| wanted.contains(event.role())) {
        let (key, is_past) = (key(&event.detail), event.row.at_ms <= at.millis());
        let is_first = seen.insert(key.clone());
        match event.row.action.as_str() {
            "assignment.origin_added" if is_past => {
                live.insert(key, reason(event));
            }
            "assignment.origin_added" => {}
            _ if is_past => {
                let until = Some(Timestamp::from_millis(event.row.at_ms).to_string());
                let known = live.remove(&key).unwrap_or_else(|| reason(event).out_of_sight());
                before = Some(Reason { until, ..known });
            }
            _ if is_first => {
                live.insert(key, reason(event).out_of_sight());
            }
            _ => {}
        }
    }
    live.extend(held.since_before(wanted, &seen, at));
    let because: Vec<_> = live.into_values().collect();
    Past { held: !because.is_empty(), before: before.filter(|_| because.is_empty()), because }
}

impl Held<'_> {
    /// What is there today, was there then, and has no row.
    fn since_before(&self, wanted: &BTreeSet<String>, seen: &BTreeSet<String>, at: Timestamp) -> Vec<(String, Reason)> {
        let of_wanted = self.assignments.iter().filter(|held| wanted.contains(&held.holding.role.to_string()));
        let origins = of_wanted.flat_map(|held| held.origins.iter().map(move |row| (held, row))).filter(|(_, row)| row.since <= at);
        let rows = origins.map(|(held, row)| {
            let (holding, origin) = (&held.holding, &row.origin);
            let role = self.model.role(holding.role).map(|role| role.name.as_str());
            let organization = self.model.organizations.find(holding.organization).map(|organization| organization.slug.as_str());
            let detail = json!({
                "role": { "id": holding.role, "name": role },
                "organization": { "id": holding.organization, "slug": organization },
                "resource_scope": holding.resource_scope,
                "reach": holding.reach,
                "origin": { "kind": origin.kind(), "connection": origin.connection(), "rule": { "id": origin.rule() } },
            });
            let since = row.since;
            let row = AssignmentEvent {
                at_ms: since.millis(),
                actor_kind: String::new(),
                actor_id: None,
                action: String::new(),
                detail: String::new(),
            };
            let event = Event { row, detail };
            (key(&event.detail), Reason { since: since.to_string(), ..reason(&event).out_of_sight() })
        });
        rows.filter(|(key, _)| !seen.contains(key)).collect()
    }
}

impl Reason {
    /// Its beginning is in no row of this database.
    fn out_of_sight(self) -> Self {
        Self { since: String::new(), by_kind: "unknown".to_owned(), by: None, ..self }
    }
}

/// What tells one origin of one assignment from another.
fn key(detail: &Value) -> String {
    let origin = &detail["origin"];
    let parts = [
        &detail["role"]["id"],
        &detail["organization"]["id"],
        &detail["resource_scope"],
        &detail["reach"],
        &origin["kind"],
        &origin["connection"],
        &origin["rule"]["id"],
    ];
    parts.map(ToString::to_string).join(" ")
}

fn reason(Event { row: event, detail }: &Event) -> Reason {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let origin = &detail["origin"];
    Reason {
        role: text(&detail["role"]["name"]).unwrap_or_default(),
        organization: text(&detail["organization"]["slug"]).unwrap_or_default(),
        reach: text(&detail["reach"]).unwrap_or_default(),
        resource_scope: text(&detail["resource_scope"]),
        origin: text(&origin["kind"]).unwrap_or_default(),
        connection: text(&origin["connection"]),
        connection_slug: None,
        rule: text(&origin["rule"]["name"]),
        mapping_version: origin["mapping_version"].as_i64(),
        by_kind: event.actor_kind.clone(),
        by: event.actor_id.clone(),
        since: Timestamp::from_millis(event.at_ms).to_string(),
        until: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::tenant;

    fn event(at_ms: i64, added: bool, (role, name): (&str, &str), by_rule: &str) -> Event {
        let detail = json!({
            "role": { "id": role, "name": name },
            "organization": { "id": "o", "slug": "acme" },
            "resource_scope": null,
            "reach": "subtree",
            "origin": { "kind": "scim_rule", "connection": "c", "rule": { "id": by_rule, "name": by_rule }, "mapping_version": 3 },
        });
        let row = AssignmentEvent {
            at_ms,
            actor_kind: "scim_token".to_owned(),
            actor_id: Some("t".to_owned()),
            action: if added { "assignment.origin_added" } else { "assignment.origin_removed" }.to_owned(),
            detail: String::new(),
        };
        Event { row, detail }
    }

    const EDITOR: (&str, &str) = ("1", "Editor");

    fn ask(events: &[Event], role: &str, at_ms: i64) -> Past {
        let model = tenant("idaas", vec![]);
        replay(events, &Held { model: &model, assignments: &[] }, &BTreeSet::from([role.to_owned()]), Timestamp::from_millis(at_ms))
    }

    #[test]
    fn what_came_and_did_not_go_is_why() {
        let events = || {
            vec![
                event(1000, true, EDITOR, "a"),
                event(2000, true, EDITOR, "b"),
                event(2500, true, ("2", "Other"), "a"),
                event(3000, false, ("1", "Writer"), "a"),
                event(4000, false, ("1", "Writer"), "b"),
            ]
        };
        let past = ask(&events(), "1", 3999);
        assert!(past.held && past.before.is_none());
        assert_eq!(
            past.because.iter().map(|reason| reason.rule.as_deref()).collect::<Vec<_>>(),
            [Some("b")],
            "whatever it is called since"
        );
        let gone = ask(&events(), "1", 4000);
        let last = gone.before.unwrap();
        assert!(!gone.held && gone.because.is_empty());
        assert_eq!(
            (last.rule.as_deref(), last.since.as_str(), last.until.as_deref()),
            (Some("b"), "1970-01-01T00:00:02Z", Some("1970-01-01T00:00:04Z"))
        );
        assert_eq!(ask(&events(), "1", 999), Past { held: false, because: vec![], before: None });
        assert!(ask(&events(), "2", 9999).held);
    }

    #[test]
    fn the_order_of_the_trail_counts_where_clocks_differ() {
        let events = [event(1000, true, EDITOR, "a"), event(2000, false, EDITOR, "a"), event(1999, true, EDITOR, "a")];
        assert!(ask(&events, "1", 5000).held);
    }

    #[test]
    fn what_began_before_the_trail_shows_by_its_end() {
        let events = [event(3000, false, EDITOR, "a"), event(4000, true, EDITOR, "a")];
        let past = ask(&events, "1", 2000);
        assert_eq!((past.held, past.because[0].since.as_str(), past.because[0].by_kind.as_str()), (true, "", "unknown"));
        assert!(!ask(&events, "1", 3500).held && ask(&events, "1", 4000).held);
    }

    #[test]
    fn a_role_is_known_by_the_name_it_had_then() {
        let name = |at_ms, role: &str, name: &str| Naming { at_ms, role: role.to_owned(), name: name.to_owned() };
        let names = [name(1000, "1", "Editor"), name(2000, "1", "Writer"), name(3000, "2", "Editor")];
        let today = [("1", "Writer"), ("2", "Editor"), ("3", "Auditor")].map(|(id, name)| (id.to_owned(), name.to_owned()));
        let found = |role: &str, at_ms| called(&names, &today, role, Timestamp::from_millis(at_ms)).into_iter().collect::<Vec<_>>();
        assert_eq!(found("EDITOR", 2500), ["2"], "the one that came later, of which nothing else is known");
        assert_eq!(found("Editor", 1500), ["1", "2"]);
        assert_eq!(found("Editor", 3500), ["2"]);
        assert_eq!(found("Writer", 2500), ["1"]);
        assert_eq!(found("Writer", 1500), ["1"], "nothing was called so then");
        assert_eq!(found("Auditor", 1), ["3"]);
        assert!(found("Nothing", 2500).is_empty());
    }
}
