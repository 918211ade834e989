//! What happened, as a security event (RFC 8417) in the vocabulary of RFC 9967, so that receivers which know SCIM events need not learn
//! ours. Notices only: they name attributes, never values. What SCIM has no word for (roles, sessions) keeps its own name in a URN.

use serde_json::{Map, Value, json};

use crate::domain::time::Timestamp;

const PREFIX: &str = "urn:ietf:params:scim:event:prov:";
/// Before the words of the outbox that RFC 9967 does not have.
pub const OWN: &str = "urn:rolegate:event:";

/// An event of the outbox.
#[derive(Debug, Clone, Copy)]
pub struct Happened<'a> {
    pub id: &'a str,
    pub at: Timestamp,
    pub kind: &'a str,
    pub subject_kind: &'a str,
    pub subject_id: &'a str,
    pub payload: &'a Value,
}

impl Happened<'_> {
    /// The claims of the security event; `issuer` is the address of the gateway.
    #[must_use]
    pub fn security_event(&self, issuer: &str) -> Value {
        let seconds = self.at.millis().div_euclid(1000);
        let events = Map::from_iter([self.event()]);
        json!({
            "iss": issuer,
            // RFC 8417 §2.2: `jti` is what a receiver recognises a repeated delivery by.
            "jti": self.id,
            "iat": seconds,
            "toe": seconds,
            "sub_id": self.subject(),
            "events": events,
        })
    }

    /// RFC 9967 §2.1: a subject of the format `scim` is named by its relative address. RFC 9493 §3.2.6 for what is no SCIM resource.
    fn subject(&self) -> Value {
        match self.subject_kind {
            "account" => json!({ "format": "scim", "uri": format!("/Users/{}", self.subject_id) }),
            "group" => json!({ "format": "scim", "uri": format!("/Groups/{}", self.subject_id) }),
            "role" => json!({ "format": "scim", "uri": format!("/Roles/{}", self.subject_id) }),
            _ => json!({ "format": "opaque", "id": format!("{}:{}", self.subject_kind, self.subject_id) }),
        }
    }

    fn event(&self) -> (String, Value) {
        let standard = |word: &str, claims: Value| (format!("{PREFIX}{word}"), claims);
        // RFC 9967 §2.4.1: a notice lists "the attributes that were created".
        let notice = |word: &str, attributes: Value| standard(word, json!({ "attributes": attributes }));
        match self.kind {
            "account.created" | "account.adopted" | "account.revived" => notice("create:notice", json!(["id", "userName"])),
            "group.created" => notice("create:notice", json!(["id", "displayName", "members"])),
            "account.changed" => notice("patch:notice", self.payload.get("attributes").cloned().unwrap_or_else(|| json!([]))),
            "group.changed" => notice("patch:notice", json!(["members"])),
            "group.renamed" => notice("patch:notice", json!(["displayName"])),
            "account.deleted" | "group.deleted" => standard("delete", json!({})),
            "account.activated" => standard("activate", json!({})),
            "account.blocked" => standard("deactivate", json!({})),
            other => (format!("{OWN}{other}"), self.payload.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, subject_kind: &str, payload: &Value) -> Value {
        let at = Timestamp::from_millis(1_800_000_000_999);
        Happened { id: "e1", at, kind, subject_kind, subject_id: "s1", payload }.security_event("https://rg")
    }

    #[rstest::rstest]
    #[case("account.created", "account", "create:notice", json!({"attributes": ["id", "userName"]}))]
    #[case("account.revived", "account", "create:notice", json!({"attributes": ["id", "userName"]}))]
    #[case("account.changed", "account", "patch:notice", json!({"attributes": ["title"]}))]
    #[case("account.blocked", "account", "deactivate", json!({}))]
    #[case("account.activated", "account", "activate", json!({}))]
    #[case("account.deleted", "account", "delete", json!({}))]
    #[case("group.changed", "group", "patch:notice", json!({"attributes": ["members"]}))]
    #[case("group.deleted", "group", "delete", json!({}))]
    fn scim_has_a_word(#[case] kind: &str, #[case] subject: &str, #[case] word: &str, #[case] claims: Value) {
        let set = event(kind, subject, &json!({"attributes": ["title"], "connection": "c"}));
        assert_eq!(set["events"], json!({format!("{PREFIX}{word}"): claims}));
        assert_eq!(set["sub_id"], json!({"format": "scim", "uri": if subject == "group" { "/Groups/s1" } else { "/Users/s1" }}));
    }

    #[test]
    fn what_scim_has_no_word_for_keeps_ours() {
        let set = event("assignment.origin_added", "account", &json!({"reach": "subtree"}));
        assert_eq!(
            set,
            json!({
                "iss": "https://rg", "jti": "e1", "iat": 1_800_000_000, "toe": 1_800_000_000, "sub_id": {"format": "scim", "uri": "/Users/s1"},
                "events": {"urn:rolegate:event:assignment.origin_added": {"reach": "subtree"}}
            })
        );
        assert_eq!(event("x", "connection", &json!({}))["sub_id"], json!({"format": "opaque", "id": "connection:s1"}));
    }
}
