//! What is allowed and yet not as it should be: said to whoever plans or applies a file, and by `check` to monitors.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{current::Current, plan::Metadata, tenant_file::TenantFile};
use crate::{
    db::{
        self, DbError, Tx,
        certificate::{CertificateState, IdpCertificateRow},
        sp_key::SpKeyState,
        tenant::Tenant,
    },
    domain::{connection::Connection, name::Slug, time::Timestamp},
    saml,
    scim::path::AttrPath,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Fewer owners can sign in than the tenant's `min_owners`.
    BelowFloor { tenant: Slug, usable: usize, floor: i64 },
    /// Nobody can sign in by SAML.
    NoCertificate { connection: Slug },
    /// Browsers are sent to the identity provider over plain http.
    PlainHttp { connection: Slug, address: String },
    /// Its requests are to be signed, and there is nothing to sign with.
    NoKey { connection: Slug },
    /// The file's metadata has a certificate that was retired.
    Retired { connection: Slug, subject: String, fingerprint: String, by: Option<String>, at: Option<Timestamp> },
    /// A rule looks at what the connection's sign-ins never say.
    Unmapped { connection: Slug, rule: String, attribute: String },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BelowFloor { tenant, usable, floor } => write!(
                f,
                "{tenant}: {usable} of the {floor} owners that min_owners asks for can sign in, and until there are that many none of them \
                 can be removed: list another one under [[owners]], or set min_owners"
            ),
            Self::NoCertificate { connection } => write!(
                f,
                "{connection}: no certificate of the identity provider is trusted, so that nobody signs in by SAML: name its metadata \
                 (idp_metadata) in the file, or let an owner add the certificate"
            ),
            Self::PlainHttp { connection, address } => write!(
                f,
                "{connection}: browsers are sent to {address} over plain http, where anyone on the way can change a sign-in: load metadata \
                 of the identity provider with its https address"
            ),
            Self::NoKey { connection } => write!(
                f,
                "{connection}: its requests are to be signed and it has no key, so that no sign-in begins here: make one with \
                 `rolegate keys create --connection {connection}` and let the identity provider load the connection's metadata"
            ),
            Self::Retired { connection, subject, fingerprint, by, at } => {
                let by = by.as_deref().unwrap_or("the host's operator");
                let at = at.map(|at| format!(" on {at}")).unwrap_or_default();
                write!(
                    f,
                    "{connection}: the metadata has the certificate {subject} (SHA-256 {}…), which {by} retired{at}: it stays retired, and \
                     the file does not bring it back. Take it out of the metadata; or, if it is to be trusted again, add it with \
                     `rolegate certificates add --connection {connection}`",
                    fingerprint.get(..16).unwrap_or(fingerprint)
                )
            }
            Self::Unmapped { connection, rule, attribute } => write!(
                f,
                "{connection}: the rule {rule:?} looks at {attribute}, which sign-ins do not say: name it under [connections.attributes]"
            ),
        }
    }
}

/// Of a tenant as it stands.
pub async fn of_tenant(tx: &mut Tx, tenant: &Tenant) -> Result<Vec<Warning>, DbError> {
    let mut found = Vec::new();
    let organizations = db::organization::list_organizations(&mut *tx, tenant.id).await?;
    if let Some(root) = organizations.iter().find(|row| row.organization.parent.is_none()) {
        let owners = db::account::list_owners(tx, tenant.id, root.organization.id).await?;
        let (usable, floor) = (owners.iter().filter(|owner| owner.usable).count(), tenant.settings.min_owners.max(1));
        if i64::try_from(usable).is_ok_and(|usable| usable < floor) {
            found.push(Warning::BelowFloor { tenant: tenant.slug.clone(), usable, floor });
        }
    }
    let certificates = db::certificate::list_certificates_of_tenant(&mut *tx, tenant.id).await?;
    let trusted: BTreeSet<_> = certificates.iter().filter(|row| row.state != CertificateState::Retired).map(|row| row.connection).collect();
    let connections = db::connection::list_connections(&mut *tx, tenant.id).await?.into_iter().map(|row| row.connection);
    let keys = db::sp_key::list_sp_keys_of_tenant(&mut *tx, tenant.id).await?;
    let signing: BTreeSet<_> = keys.iter().filter(|row| row.state == SpKeyState::Current).map(|row| row.connection).collect();
    for connection in connections.filter(Connection::signs_in) {
        found.extend(plain_http(&connection).map(|address| Warning::PlainHttp { connection: connection.slug.clone(), address }));
        if connection.saml.signs_requests() && !signing.contains(&connection.id) {
            found.push(Warning::NoKey { connection: connection.slug.clone() });
        }
        if !trusted.contains(&connection.id) {
            found.push(Warning::NoCertificate { connection: connection.slug });
        }
    }
    Ok(found)
}

/// An address of a release that did not refuse plain http.
fn plain_http(connection: &Connection) -> Option<String> {
    let saml = &connection.saml;
    let addresses = [&saml.sso_url, &saml.sso_post_url, &saml.slo_redirect_url, &saml.slo_post_url];
    addresses.into_iter().flatten().find(|address| saml::check_address("", address).is_err()).cloned()
}

/// Of what a file's metadata would bring back, before the file is applied.
pub async fn of_metadata(tx: &mut Tx, current: &Current, metadata: &Metadata) -> Result<Vec<Warning>, DbError> {
    let naming = |row: &&IdpCertificateRow| {
        let known = current.connections.iter().find(|known| known.connection.id == row.connection)?;
        let said = metadata.get(&known.connection.slug)?;
        let has = said.certificates.iter().any(|certificate| certificate.fingerprint() == row.fingerprint);
        has.then(|| known.connection.slug.clone())
    };
    let retired = current.certificates.iter().filter(|row| row.state == CertificateState::Retired);
    let retired: Vec<_> = retired.filter_map(|row| Some((naming(&row)?, row))).collect();
    let people: Vec<_> = retired.iter().filter_map(|(_, row)| row.retired_by).collect();
    let names = db::listing::name_accounts(&mut *tx, current.tenant.id, &people).await?;
    let warnings = retired.into_iter().map(|(connection, row)| Warning::Retired {
        connection,
        subject: row.subject.clone(),
        fingerprint: row.fingerprint.clone(),
        by: row.retired_by.map(|by| names.get(&by).cloned().unwrap_or_else(|| format!("somebody who is gone ({by})"))),
        at: row.retired_at,
    });
    Ok(warnings.collect())
}

/// Of a file alone.
#[must_use]
pub fn of_file(file: &TenantFile) -> Vec<Warning> {
    let mut found = Vec::new();
    // Where SCIM is, what a rule looks at may come that way.
    for entry in file.connections.iter().filter(|entry| entry.saml.enabled && !entry.scim.enabled) {
        for rule in &entry.rules {
            let missing = rule.when.full_paths().into_iter().filter(|path| !is_said(&entry.attributes, path)).map(|path| match path {
                AttrPath { name, sub: Some(sub), .. } if name.eq_ignore_ascii_case("custom") => format!("{name}.{sub}"),
                AttrPath { name, .. } => name,
            });
            let missing: BTreeSet<_> = missing.collect();
            let (connection, rule) = (&entry.slug.value, &rule.name.value);
            found.extend(missing.into_iter().map(|attribute| Warning::Unmapped {
                connection: connection.clone(),
                rule: rule.clone(),
                attribute,
            }));
        }
    }
    found
}

/// Whether a sign-in can say it: always, or by the connection's map.
fn is_said(map: &BTreeMap<String, String>, path: &AttrPath) -> bool {
    let always = ["userName", "active", "source", "authn"].iter().any(|name| name.eq_ignore_ascii_case(&path.name));
    let said = |name: &String| {
        let (outer, inner) = saml::identity::stands_at(name);
        let same_sub = match (inner, &path.sub) {
            (Some(inner), Some(sub)) => inner.eq_ignore_ascii_case(sub),
            (None, _) | (_, None) => true,
        };
        outer.eq_ignore_ascii_case(&path.name) && same_sub
    };
    always || map.keys().any(said)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_rule_on_what_sign_ins_do_not_say_is_named() {
        let warned = |head: &str, map: &str, when: &str| {
            let text = format!(
                "[tenant]\nslug = 'acme'\nname = 'Acme'\npreset = 'owner-member'\n[[connections]]\nslug = 'okta'\n{head}\n\
                 [connections.attributes]\n{map}\n[[connections.rules]]\nname = 'r'\nwhen = '{when}'\ngrant = [{{ role = 'x' }}]\n"
            );
            let file = TenantFile::parse(Path::new("acme.toml"), &text).unwrap_or_else(|error| panic!("{error}"));
            of_file(&file).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let saml = "saml = { enabled = true }";
        let both = "saml = { enabled = true }\nscim = { enabled = true }";
        let when = r#"groups[value eq "a"]"#;
        let found = warned(saml, "email = 'mail'", when);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("okta: the rule \"r\" looks at groups, which sign-ins do not say"), "{found:?}");
        assert!(warned(saml, "groups = 'memberOf'", when).is_empty());
        assert!(warned(both, "email = 'mail'", when).is_empty(), "SCIM may say it");
        let when = r#"name.givenName pr and emails.value co "@a" and manager.value pr and custom.site eq "x" and userName pr"#;
        assert!(warned(saml, "givenName = 'a'\nemail = 'b'\nmanager = 'c'\n\"custom.site\" = 'd'", when).is_empty());
        assert_eq!(warned(saml, "familyName = 'a'\n\"custom.code\" = 'd'", when).len(), 4);
    }
}
