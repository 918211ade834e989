//! Which identity provider somebody signs in with, by the domain of their e-mail address: that of the organization for which the domain is
//! verified, through a connection that is its own or enabled for it.

use std::collections::BTreeSet;

use url::Host;

use crate::{
    db::{self, Db, DbError},
    domain::{
        connection::Audience,
        name::{Email, Slug},
    },
};

/// The connection where the sign-in begins: one for what is asked for before one for the other, the organization's own before one that
/// was enabled for it, the oldest of several. `None` whether the address is none, its domain is unknown, or nothing is switched on there: who asks is not told
/// which.
pub async fn find_start(db: &Db, email: &str, surface: Audience) -> Result<Option<Slug>, DbError> {
    let Some(domain) = domain_of(email) else { return Ok(None) };
    let Some(row) = db::domain::find_verified(db, &domain).await? else { return Ok(None) };
    let used = db::connection_use::list_used(db, row.tenant, row.organization).await?;
    let used: BTreeSet<_> = used.into_iter().map(|used| used.connection).collect();
    let connections = db::connection::list_connections(db, row.tenant).await?;
    let open = connections.into_iter().map(|row| row.connection).filter(|connection| {
        let begins_here = connection.saml.sso_url.is_some() || connection.saml.sso_post_url.is_some();
        used.contains(&connection.id) && connection.signs_in() && begins_here
    });
    let best = open.min_by_key(|connection| (connection.audience != surface, connection.organization != row.organization));
    Ok(best.map(|connection| connection.slug))
}

/// As domains are kept: lower case, in their ASCII form.
fn domain_of(email: &str) -> Option<String> {
    let email = Email::parse(email.trim()).ok()?;
    let (_, domain) = email.as_str().rsplit_once('@')?;
    match Host::parse(domain).ok()? {
        Host::Domain(domain) => Some(domain),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_what_stands_behind_the_last_at() {
        assert_eq!(domain_of(" Ada@ACME.example ").as_deref(), Some("acme.example"));
        assert_eq!(domain_of("ada@b\u{fc}cher.example").as_deref(), Some("xn--bcher-kva.example"));
        for none in ["", "ada", "ada@", "@acme.example", "ada@127.0.0.1", "ada@acme.example@"] {
            assert_eq!(domain_of(none), None, "{none}");
        }
    }
}
