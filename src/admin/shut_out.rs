//! Whom a change of rules keeps from signing in, in the names that people know.

use crate::{
    db::{self, DbError, Tx},
    domain::{
        id::{AccountId, TenantId},
        name::Slug,
    },
};

/// More of them are no help in a message.
const NAMED: usize = 10;

/// Those who could sign in through the connection before, and are refused from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutOut {
    pub connection: Slug,
    pub people: usize,
    /// The user names of the first of them.
    pub named: Vec<String>,
    /// Some of the connection's people were not looked at yet.
    pub or_more: bool,
}

impl ShutOut {
    pub(super) async fn of(tx: &mut Tx, tenant: TenantId, connection: Slug, people: &[AccountId], or_more: bool) -> Result<Self, DbError> {
        let first = &people[..people.len().min(NAMED)];
        let mut named: Vec<_> = db::listing::name_accounts(tx, tenant, first).await?.into_values().collect();
        named.sort_unstable();
        Ok(Self { connection, people: people.len(), named, or_more })
    }

    /// `are` is "would be" before it is done, and "are" after that.
    #[must_use]
    pub fn sentence(&self, are: &str) -> String {
        let Self { connection, people, named, or_more } = self;
        let at_least = if *or_more { "at least " } else { "" };
        let more = people - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let who = if *people == 1 { "person" } else { "people" };
        let are = if *people == 1 && are == "are" { "is" } else { are };
        format!("{connection}: {at_least}{people} {who} {are} refused at the next sign-in: {}{more}", named.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_many_and_names_some() {
        let mut shut_out = ShutOut { connection: Slug::parse("okta").unwrap(), people: 1, named: vec!["ada".to_owned()], or_more: false };
        assert_eq!(shut_out.sentence("are"), "okta: 1 person is refused at the next sign-in: ada");
        (shut_out.people, shut_out.or_more) = (12, true);
        assert_eq!(shut_out.sentence("would be"), "okta: at least 12 people would be refused at the next sign-in: ada and 11 more");
    }
}
