//! The file that `plan` and `apply` read: one tenant as it should be, parsed into values that hold.
//!
//! What can be said of the file alone is decided here; whether the organizations and roles that it names exist is decided by `plan`,
//! which also knows the database. Every refusal names the file, the line and the key.

mod raw;
mod read;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    domain::{
        assignment::Reach,
        catalogue::Permission,
        connection::{Audience, Authority, SamlSettings, ScimSettings},
        model::Settings,
        name::{Email, Slug, Title},
        time::Timestamp,
    },
    policy::{
        mapping::{Apply, Unmatched},
        preset::Preset,
        rule::{AppliesTo, Mode, OnDelete, SettableKind},
        template::Template,
    },
    scim::filter::Filter,
};

/// Why the file is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}, line {}: {}{why}", .place.file.display(), .place.line, key_shown(.place))]
pub struct FileError {
    pub place: Place,
    pub why: String,
}

fn key_shown(place: &Place) -> String {
    if place.key.is_empty() { String::new() } else { format!("{}: ", place.key) }
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: PathBuf,
    pub line: usize,
    /// As in `connections.rules.when`.
    pub key: String,
}

impl Place {
    #[must_use]
    pub fn refuse(&self, why: impl fmt::Display) -> FileError {
        FileError { place: self.clone(), why: why.to_string() }
    }
}

/// A value with its place, for what only the database can refuse.
#[derive(Debug, Clone, PartialEq)]
pub struct At<T> {
    pub value: T,
    pub place: Place,
}

#[derive(Debug, Clone)]
pub struct TenantFile {
    pub tenant: TenantEntry,
    pub organizations: Vec<OrganizationEntry>,
    pub owners: Vec<OwnerEntry>,
    pub roles: Vec<RoleEntry>,
    pub connections: Vec<ConnectionEntry>,
    /// The tenant's own extension of User, as JSON that can be read.
    pub attribute_schema: Option<At<String>>,
}

#[derive(Debug, Clone)]
pub struct TenantEntry {
    /// Also the slug of the root organization.
    pub slug: At<Slug>,
    pub name: Title,
    pub preset: &'static Preset,
    /// Where it is named.
    pub preset_place: Place,
    /// The preset's, with what the file says otherwise.
    pub settings: Settings,
    /// The names of those that the file itself says.
    pub said: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub struct OrganizationEntry {
    pub slug: At<Slug>,
    pub name: Title,
    pub parent: At<Slug>,
}

#[derive(Debug, Clone)]
pub struct OwnerEntry {
    pub email: Email,
    pub name: Title,
}

#[derive(Debug, Clone)]
pub struct RoleEntry {
    pub name: At<Title>,
    pub description: String,
    pub permissions: BTreeSet<Permission>,
}

#[derive(Debug, Clone)]
pub struct ConnectionEntry {
    pub slug: At<Slug>,
    pub organization: At<Slug>,
    pub audience: Audience,
    pub authority: Authority,
    pub enabled: bool,
    pub allow_owner_grants: bool,
    pub scim: ScimSettings,
    /// Without what the identity provider's metadata says.
    pub saml: SamlSettings,
    pub idp_metadata: Option<At<MetadataSource>>,
    pub attributes: BTreeMap<String, String>,
    pub default_roles: Vec<At<String>>,
    pub default_apply: Apply,
    pub unmatched: Unmatched,
    pub rules: Vec<RuleEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataSource {
    File(PathBuf),
    Url(url::Url),
}

#[derive(Debug, Clone)]
pub struct RuleEntry {
    pub name: At<String>,
    pub note: String,
    pub enabled: bool,
    pub applies_to: AppliesTo,
    pub when: Filter,
    pub grants: Vec<TargetEntry>,
    pub excludes: Vec<TargetEntry>,
    pub deny_sign_in: Option<String>,
    pub set_home_organization: Option<Template>,
    pub set_kind: Option<SettableKind>,
    pub mode: Mode,
    pub on_delete: OnDelete,
    pub valid_from: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
    /// Its targets may lie outside the subtree of the connection's organization.
    pub root_published: bool,
}

#[derive(Debug, Clone)]
pub struct TargetEntry {
    pub role: At<String>,
    /// `None`: the connection's organization.
    pub organization: Option<At<WhereEntry>>,
    /// `None`: the tenant's default.
    pub reach: Option<Reach>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum WhereEntry {
    Slug(Slug),
    Template(Template),
}

impl TenantFile {
    /// Parses the text of the file at `path`; paths in it are relative to its folder.
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let reader = read::Reader { path, text };
        let raw: raw::File = toml::from_str(text).map_err(|error| reader.syntax(&error))?;
        reader.file(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connection::Jit;

    /// The file of the documentation: every key it shows.
    const SHOWN: &str = r#"
[tenant]
slug = "acme"                       # also the slug of the root organization
name = "Acme"
preset = "owner-member"
settings = { min_owners = 1 }

[[organizations]]
slug = "acme-eu"
name = "Acme Europe"
parent = "acme"

[[owners]]
email = "owner@acme.example"
name = "First Owner"

[[connections]]
slug = "acme-okta"
organization = "acme"
audience = "admin"
authority = "scim_else_saml"

[connections.scim]
enabled = true

[connections.saml]
enabled = true
idp_metadata = "okta-metadata.xml"
jit = "create"
idp_initiated = false
correlate = { scim = "userName", saml = "NameID" }

[connections.attributes]
email = "email"
givenName = "firstName"
groups = "groups"

[connections.default_mapping]
roles = ["Organization Member"]
apply = "on_create"
unmatched = "allow"

[[connections.rules]]
name = "platform team"
when = 'groups[value eq "platform-admins"]'
grant = [{ role = "Organization Context Manager", organization = "acme" }]
"#;

    const SMALL: &str = "[tenant]\nslug = 'acme'\nname = 'Acme'\npreset = 'idaas'\n";

    fn parse(text: &str) -> Result<TenantFile, FileError> {
        TenantFile::parse(Path::new("tenants/acme.toml"), text)
    }

    #[test]
    fn every_key_that_the_documentation_shows_is_read() {
        let file = parse(SHOWN).unwrap();
        assert_eq!(file.tenant.settings.min_owners, 1);
        assert_eq!(file.tenant.settings.custom_roles, file.tenant.preset.settings.custom_roles, "the rest is the preset's");
        assert_eq!(file.organizations[0].parent.value.as_str(), "acme");
        assert_eq!(file.owners[0].email.as_str(), "owner@acme.example");
        let connection = &file.connections[0];
        assert_eq!(connection.saml.jit, Some(Jit::Create));
        assert_eq!(connection.saml.correlate.as_ref().unwrap().saml, "NameID");
        let metadata = &connection.idp_metadata.as_ref().unwrap().value;
        assert_eq!(*metadata, MetadataSource::File(PathBuf::from("tenants/okta-metadata.xml")), "beside this file");
        assert_eq!(connection.attributes["givenName"], "firstName");
        assert_eq!(connection.default_roles[0].value, "Organization Member");
        assert_eq!((connection.default_apply, connection.unmatched), (Apply::OnCreate, Unmatched::Allow));
        let rule = &connection.rules[0];
        assert_eq!(rule.when.to_string(), r#"groups[value eq "platform-admins"]"#);
        assert_eq!(rule.grants[0].role.value, "Organization Context Manager");
        assert_eq!(rule.grants[0].organization.as_ref().unwrap().value, WhereEntry::Slug(Slug::parse("acme").unwrap()));
    }

    #[test]
    fn the_manual_shows_a_file_that_is_read_and_names_what_rules_may_name() {
        let manual = include_str!("../../docs/tenant-file.md");
        let shown = manual.split("```toml\n").find(|block| block.starts_with("[tenant]")).and_then(|block| block.split("```").next());
        let file = parse(shown.unwrap()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(i64::try_from(file.owners.len()), Ok(file.tenant.settings.min_owners), "its owners are as many as it takes");
        for name in crate::scim::schema::identity::names().filter(|name| !name.contains(['.', '$'])) {
            assert!(manual.contains(&format!("`{name}")), "{name}");
        }
    }

    #[test]
    fn roles_are_read_where_the_preset_allows_them() {
        let role = "[[roles]]\nname = 'Theme editor'\npermissions = ['account_branding_customization:*']\n";
        let file = parse(&format!("{SMALL}{role}")).unwrap();
        assert_eq!(file.roles[0].permissions.len(), 1);
        let refused = parse(&format!("{}{role}", SMALL.replace("idaas", "owner-member"))).unwrap_err();
        assert!(refused.to_string().contains("line 6: roles.name: the preset owner-member has no custom roles"), "{refused}");
    }

    #[test]
    fn scim_is_off_until_somebody_switches_it_on_where_the_preset_says_so() {
        let enabled = |preset: &str, settings: &str, scim: &str| {
            let tenant = SMALL.replace("idaas", preset);
            let first = "[[connections]]\nslug = 'first'\n";
            let file = format!("{tenant}settings = {{ {settings} }}\n{first}[[connections]]\nslug = 'okta'\n{scim}");
            let file = parse(&file).unwrap();
            assert!(!file.connections[0].scim.enabled, "nothing is said of SCIM");
            file.connections[1].scim.enabled
        };
        let table = "[connections.scim]\ndialect = 'strict'\n";
        assert!(!enabled("owner-member", "", table));
        assert!(enabled("owner-member", "", "[connections.scim]\nenabled = true\n"));
        assert!(enabled("owner-member", "scim_inbound = true", table));
        assert!(enabled("idaas", "", table) && !enabled("idaas", "scim_inbound = false", table));
        assert!(!enabled("idaas", "", "[connections.scim]\nenabled = false\n") && !enabled("idaas", "", ""));
    }

    #[test]
    fn a_schema_is_read_as_the_api_reads_it() {
        let schema = |rest: &str| {
            let urn = "urn:example:params:scim:schemas:extension:acme:2.0:User";
            format!("{SMALL}[attribute_schema]\nid = '{urn}'\nname = 'Acme'\n{rest}")
        };
        let file = parse(&schema("[[attribute_schema.attributes]]\nname = 'site'\nmultiValued = true\n")).unwrap();
        let document: serde_json::Value = serde_json::from_str(&file.attribute_schema.unwrap().value).unwrap();
        assert_eq!(document["attributes"], serde_json::json!([{ "name": "site", "multiValued": true }]));
        let refused = |rest: &str| parse(&schema(rest)).unwrap_err().to_string();
        let at = "tenants/acme.toml, line 5: attribute_schema: ";
        assert_eq!(refused("attributes = []\n"), format!("{at}the schema has no attributes; declare at least one"));
        assert!(refused("[[attribute_schema.attributes]]\nname = 'a b'\n").starts_with(at));
        assert!(refused("[[attribute_schema.attributes]]\nname = 'a'\nkind = 'string'\n").contains("unknown field `kind`"));
    }

    #[test]
    fn what_rules_may_say_beyond_the_example_is_read() {
        let rules = r#"
[[connections]]
slug = "okta"
[[connections.rules]]
name = "leavers"
when = 'userType eq "leaver"'
applies_to = "saml"
deny_sign_in = "Your contract has ended."
valid_from = "2026-01-01T00:00:00Z"
[[connections.rules]]
name = "sites"
note = "by site code"
when = "custom.site pr"
grant = [{ role = "Administrator", organization = "acme-{custom.site | lower}", reach = "organization" }]
exclude = [{ role = "Auditor" }]
set_home_organization = "acme-{custom.site}"
set = { kind = "machine" }
mode = "grant_only"
on_delete = "keep_as_manual"
root_published = true
enabled = false
"#;
        let file = parse(&format!("{SMALL}{rules}")).unwrap();
        let connection = &file.connections[0];
        assert_eq!(connection.organization.value.as_str(), "acme", "the root unless it says otherwise");
        let [leavers, sites] = &connection.rules[..] else { panic!("two rules") };
        assert_eq!(leavers.applies_to, AppliesTo::Saml);
        assert!(leavers.valid_from.is_some() && leavers.valid_until.is_none());
        assert!(matches!(sites.grants[0].organization.as_ref().unwrap().value, WhereEntry::Template(_)));
        assert!(sites.excludes[0].organization.is_none());
        assert_eq!((sites.mode, sites.on_delete, sites.enabled), (Mode::GrantOnly, OnDelete::KeepAsManual, false));
    }

    #[test]
    fn what_is_wrong_is_named_by_file_line_and_key() {
        let after = |rest: &str| format!("{SMALL}{rest}");
        let connection = |rest: &str| format!("{SMALL}[[connections]]\nslug = 'okta'\n{rest}");
        let rule = |rest: &str| connection(&format!("[[connections.rules]]\nname = 'r'\n{rest}"));
        let cases = [
            ("[tenant]\nslug = 'acme'\nname = 'Acme'\n".to_owned(), "missing field `preset`"),
            (SMALL.replace("'acme'", "'Acme!'"), "line 2: tenant.slug: "),
            (SMALL.replace("idaas", "idas"), "line 4: tenant.preset: there is no preset \"idas\""),
            (after("colour = 'red'\n"), "line 5: colour: unknown field `colour`"),
            (after("settings = { min_owner = 1 }\n"), "line 5: tenant.settings: min_owner: unknown field `min_owner`"),
            (after("[tenant.settings]\ncustom_roles = true\nmin_owners = 'two'\n"), "line 7: tenant.settings: min_owners: invalid type"),
            (after("settings = { min_owners = 0 }\n"), "min_owners must be at least 1"),
            (after("settings = { root_only_actions = ['moon:read'] }\n"), "settings.root_only_actions names moon:read"),
            (after("settings = { externally_managed = ['moons'] }\n"), "settings.externally_managed names moons"),
            (
                connection("[connections.attributes]\nemial = 'mail'\n"),
                "line 8: connections.attributes: nobody has an attribute \"emial\"; the nearest is \"emails\"",
            ),
            (after("[[owners]]\nemail = 'nobody'\nname = 'x'\n"), "line 6: owners.email: "),
            (
                after("[[owners]]\nemail = 'a@b'\nname = 'x'\n[[owners]]\nemail = 'A@B'\nname = 'y'\n"),
                "line 9: owners.email: \"a@b\" stands in line 6 already",
            ),
            (
                after("[[organizations]]\nslug = 'acme'\nname = 'x'\nparent = 'acme'\n"),
                "line 6: organizations.slug: \"acme\" stands in line 2 already",
            ),
            (after("[[roles]]\nname = 'x'\npermissions = []\n"), "line 7: roles.permissions: a role needs at least one permission"),
            (
                after("[[roles]]\nname = 'x'\npermissions = ['nothing:*']\n"),
                "line 7: roles.permissions: \"nothing:*\" names nothing in the catalogue",
            ),
            (connection("audience = 'all'\n"), "line 7: audience: unknown variant `all`"),
            (connection("[connections.saml]\nskew_secs = 4000\n"), "line 8: connections.saml.skew_secs: 0 to 300"),
            (connection("[connections.saml]\njit = 'yes'\n"), "line 8: jit: unknown variant `yes`"),
            (
                connection("[connections.saml]\nidp_metadata = 'a'\nidp_metadata_url = 'https://b'\n"),
                "line 9: connections.saml.idp_metadata_url: ",
            ),
            (connection("[connections.saml]\nidp_metadata_url = 'http://idp.example/metadata'\n"), "an https address was expected"),
            (connection("[connections.saml]\ncorrelate = { scim = 'email', saml = 'NameID' }\n"), "scim must be userName or externalId"),
            (connection("[connections.saml]\nauthn_context = { classes = [] }\n"), "classes must name at least one"),
            (
                connection("[connections.saml]\nauthn_context = { classes = ['urn:x'], comparison = 'minimum', required = true }\n"),
                "line 8: connections.saml.authn_context: required goes with the comparison exact alone",
            ),
            (connection("[connections.saml]\nrequest_binding = 'artifact'\n"), "unknown variant `artifact`"),
            (connection("[connections.saml]\nexpired_certificate_days = -1\n"), "connections.saml.expired_certificate_days: 0 to 3650"),
            (rule("grant = []\nwhen = 'active eq true'\n"), "line 8: connections.rules.name: the rule has no effect"),
            (rule("when = 'userName eq'\ngrant = [{ role = 'x' }]\n"), "line 9: connections.rules.when: "),
            (
                rule("when = 'active eq true'\ngrant = [{ role = 'x', organization = '{a' }]\n"),
                "line 10: connections.rules.grant.organization: ",
            ),
            (rule("when = 'active eq true'\ngrant = [{ role = 'x', where = 'y' }]\n"), "unknown field `where`"),
            (
                rule("when = 'gruops[value eq \"a\"]'\ngrant = [{ role = 'x' }]\n"),
                "line 9: connections.rules.when: nobody has an attribute \"gruops\"; the nearest is \"groups\"",
            ),
            (rule("when = 'groups[name eq \"a\"]'\ngrant = [{ role = 'x' }]\n"), "\"groups.name\"; the nearest is \"groups."),
            (rule("when = 'active eq true and email pr'\ngrant = [{ role = 'x' }]\n"), "\"email\"; the nearest is \"emails\""),
            (rule("when = 'active eq true'\nset_home_organization = '{departmint}'\n"), "the nearest is \"department\""),
            ("[tenant\n".to_owned(), "tenants/acme.toml, line 1: "),
        ];
        for (text, expected) in cases {
            let message = parse(&text).unwrap_err().to_string();
            assert!(message.starts_with("tenants/acme.toml, line "), "{message}");
            assert!(message.contains(expected), "{message}\n  should say\n{expected}");
            assert!(!message.contains('\n'), "one line: {message}");
        }
    }
}
