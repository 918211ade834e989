//! An origin in words: why an assignment is there, for whoever asks.

use super::listing::Origin;

/// Half a sentence, such as `by the rule "platform team" of acme-okta, matched over SCIM`.
#[must_use]
pub fn of(origin: &Origin) -> String {
    let cause = cause(origin);
    if origin.dormant { format!("{cause} (dormant: the identity provider has blocked the account)") } else { cause }
}

fn cause(origin: &Origin) -> String {
    let connection = origin.connection.as_deref().unwrap_or("a connection that is gone");
    let rule = origin.rule.as_deref().unwrap_or("a rule that is gone");
    match origin.kind.as_str() {
        "manual" => match &origin.by {
            Some(by) => format!("granted by hand, by account {by}"),
            None => "granted by hand, by the operator of the host".to_owned(),
        },
        "scim_rule" => format!("by the rule \"{rule}\" of {connection}, from what came over SCIM"),
        "saml_rule" => format!("by the rule \"{rule}\" of {connection}, from what was said at sign-in (SAML)"),
        "default" => format!("by the default mapping of {connection}"),
        "directory_sync" => format!("by the directory behind {connection}"),
        "auto_join" => "because every member of the organization gets it".to_owned(),
        "first_user" => "because the first person of an organization gets it".to_owned(),
        "invitation" => "by an invitation that was accepted".to_owned(),
        "bootstrap" => "named as an owner in the tenant's file".to_owned(),
        "retention" => "kept because nobody else would be left as an owner".to_owned(),
        other => other.to_owned(),
    }
}
