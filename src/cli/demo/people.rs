//! The people of the demo, as their identity provider knows them.

/// Somebody at the demo's identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    /// `userName` in SCIM, NameID in SAML.
    pub name: &'static str,
    pub given_name: &'static str,
    pub family_name: &'static str,
    pub department: Option<&'static str>,
    pub groups: &'static [&'static str],
    /// The connection through which they sign in.
    pub connection: &'static str,
}

pub const DIRECTORY: &str = "acme-directory";
pub const PARTNERS: &str = "acme-partners";

pub const ADA: Person = Person {
    name: "ada@acme.example",
    given_name: "Ada",
    family_name: "Lovelace",
    department: Some("HQ"),
    groups: &["platform-admins"],
    connection: DIRECTORY,
};
pub const GRACE: Person = Person {
    name: "grace@acme.example",
    given_name: "Grace",
    family_name: "Hopper",
    department: Some("EU"),
    groups: &["support"],
    connection: DIRECTORY,
};
pub const EDSGER: Person = Person {
    name: "edsger@acme.example",
    given_name: "Edsger",
    family_name: "Dijkstra",
    department: Some("EU"),
    groups: &["support"],
    connection: DIRECTORY,
};
/// Never pushed by SCIM: the gateway meets her when she signs in.
pub const MARY: Person = Person {
    name: "mary@partner.example",
    given_name: "Mary",
    family_name: "Shelley",
    department: None,
    groups: &["leads"],
    connection: PARTNERS,
};

/// Whom the directory pushes.
pub const PUSHED: [Person; 3] = [ADA, GRACE, EDSGER];
pub const EVERYBODY: [Person; 4] = [ADA, GRACE, EDSGER, MARY];
