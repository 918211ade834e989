//! Why somebody held a role at a time that is past: their assignments, made again from the audit trail.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    db::{
        Db, DbError,
        audit_trail::{AssignmentEvent, list_assignment_events},
    },
    domain::{
        id::{AccountId, TenantId},
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
    /// The rule's name, as it was then.
    pub rule: Option<String>,
    /// Which version of the connection's mapping decided.
    pub mapping_version: Option<i64>,
    /// Who did it: an account, a SCIM token, a connection's identity provider, the operator of the host.
    pub by_kind: String,
    pub by: Option<String>,
    #[schema(format = DateTime)]
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

/// `role` is the name that it had then. What was pruned from the trail is not known here.
pub async fn role_at(db: &Db, tenant: TenantId, account: AccountId, role: &str, at: Timestamp) -> Result<Past, DbError> {
    let events = list_assignment_events(db, tenant, account, at).await?;
    replay(&events, role).map_err(|error| DbError::corrupt("an audit row's detail", &error))
}

fn replay(events: &[AssignmentEvent], role: &str) -> Result<Past, serde_json::Error> {
    let wanted = fold(role);
    let mut live: BTreeMap<String, Reason> = BTreeMap::new();
    let mut before = None;
    for event in events {
        let detail: Value = serde_json::from_str(&event.detail)?;
        if fold(detail["role"]["name"].as_str().unwrap_or_default()) != wanted {
            continue;
        }
        let key = key(&detail);
        if event.action == "assignment.origin_added" {
            live.insert(key, reason(event, &detail));
        } else {
            let until = Some(Timestamp::from_millis(event.at_ms).to_string());
            // What came before the trail began was added out of its sight.
            let known = live.remove(&key).unwrap_or_else(|| Reason { since: String::new(), ..reason(event, &detail) });
            before = Some(Reason { until, ..known });
        }
    }
    let because: Vec<_> = live.into_values().collect();
    Ok(Past { held: !because.is_empty(), before: before.filter(|_| because.is_empty()), because })
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

fn reason(event: &AssignmentEvent, detail: &Value) -> Reason {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let origin = &detail["origin"];
    Reason {
        role: text(&detail["role"]["name"]).unwrap_or_default(),
        organization: text(&detail["organization"]["slug"]).unwrap_or_default(),
        reach: text(&detail["reach"]).unwrap_or_default(),
        resource_scope: text(&detail["resource_scope"]),
        origin: text(&origin["kind"]).unwrap_or_default(),
        connection: text(&origin["connection"]),
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
    use serde_json::json;

    use super::*;

    fn event(at_ms: i64, added: bool, role: &str, rule: &str) -> AssignmentEvent {
        let detail = json!({
            "role": { "id": role, "name": role },
            "organization": { "id": "o", "slug": "acme" },
            "resource_scope": null,
            "reach": "subtree",
            "origin": { "kind": "scim_rule", "connection": "c", "rule": { "id": rule, "name": rule }, "mapping_version": 3 },
        });
        AssignmentEvent {
            at_ms,
            actor_kind: "scim_token".to_owned(),
            actor_id: Some("t".to_owned()),
            action: if added { "assignment.origin_added" } else { "assignment.origin_removed" }.to_owned(),
            detail: detail.to_string(),
        }
    }

    #[test]
    fn what_came_and_did_not_go_is_why() {
        let events = [
            event(1000, true, "Editor", "a"),
            event(2000, true, "Editor", "b"),
            event(2500, true, "Other", "a"),
            event(3000, false, "Editor", "a"),
        ];
        let past = replay(&events, "EDITOR").unwrap();
        assert!(past.held && past.before.is_none());
        assert_eq!(past.because.iter().map(|reason| reason.rule.as_deref()).collect::<Vec<_>>(), [Some("b")]);
        let gone = replay(&[&events[..], &[event(4000, false, "Editor", "b")]].concat(), "Editor").unwrap();
        let last = gone.before.unwrap();
        assert!(!gone.held && gone.because.is_empty());
        assert_eq!(
            (last.rule.as_deref(), last.since.as_str(), last.until.as_deref()),
            (Some("b"), "1970-01-01T00:00:02Z", Some("1970-01-01T00:00:04Z"))
        );
        assert_eq!(replay(&events, "Nothing").unwrap(), Past { held: false, because: vec![], before: None });
    }
}
