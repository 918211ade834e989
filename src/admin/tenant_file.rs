//! The file that `plan` and `apply` read: one tenant as it should be, parsed into values that hold.
//!
//! What can be said of the file alone is decided here; whether the organizations and roles that it names exist is decided by `plan`,
//! which also knows the database. Every refusal names the file, the line and the key.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use crate::{
    domain::{
        assignment::Reach,
        catalogue::Permission,
        connection::{Audience, Authority, Correlation, Jit, MissingGroups, SamlSettings, ScimSettings},
        model::Settings,
        name::{Email, Slug, Title, fold},
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
}

#[derive(Debug, Clone)]
pub struct TenantEntry {
    /// Also the slug of the root organization.
    pub slug: At<Slug>,
    pub name: Title,
    pub preset: &'static Preset,
    /// The preset's, with what the file says otherwise.
    pub settings: Settings,
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
        let reader = Reader { path, text };
        let raw: raw::File = toml::from_str(text).map_err(|error| reader.syntax(&error))?;
        reader.file(raw)
    }
}

/// Turns raw values into typed ones; knows where each stands.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

type Outcome<T> = Result<T, FileError>;

impl Reader<'_> {
    fn place(&self, key: &str, at: usize) -> Place {
        let line = 1 + self.text.get(..at).unwrap_or(self.text).matches('\n').count();
        Place { file: self.path.to_owned(), line, key: key.to_owned() }
    }

    fn place_of<T>(&self, key: &str, value: &Spanned<T>) -> Place {
        self.place(key, value.span().start)
    }

    /// The parser says what it expected; the key is the beginning of the line it stopped at.
    fn syntax(&self, error: &toml::de::Error) -> FileError {
        let at = error.span().map_or(0, |span| span.start);
        let mut place = self.place("", at);
        let line = self.text.lines().nth(place.line - 1).unwrap_or_default();
        if let Some((key, _)) = line.split_once('=') {
            key.trim().clone_into(&mut place.key);
        }
        place.refuse(error.message().trim().replace('\n', "; "))
    }

    /// Reads a text with `parse`, whose error says what is wrong with it.
    fn read<T, E: fmt::Display>(&self, key: &str, raw: &Spanned<String>, parse: impl FnOnce(&str) -> Result<T, E>) -> Outcome<At<T>> {
        let place = self.place_of(key, raw);
        let value = parse(raw.get_ref()).map_err(|error| place.refuse(error))?;
        Ok(At { value, place })
    }

    fn title(&self, key: &str, raw: &Spanned<String>) -> Outcome<At<Title>> {
        self.read(key, raw, |text| Title::parse("name", text))
    }

    fn file(&self, raw: raw::File) -> Outcome<TenantFile> {
        let tenant = self.tenant(raw.tenant)?;
        let organizations = raw.organizations.iter().map(|raw| self.organization(raw)).collect::<Outcome<Vec<_>>>()?;
        let owners = raw.owners.iter().map(|raw| self.owner(raw)).collect::<Outcome<Vec<_>>>()?;
        let roles = raw.roles.into_iter().map(|raw| self.role(raw, &tenant)).collect::<Outcome<Vec<_>>>()?;
        let connections = raw.connections.into_iter().map(|raw| self.connection(raw, &tenant)).collect::<Outcome<Vec<_>>>()?;

        let slugs = std::iter::once(&tenant.slug).chain(organizations.iter().map(|entry| &entry.slug));
        unique(slugs.map(|slug| (slug.value.to_string(), &slug.place)))?;
        unique(roles.iter().map(|role| (role.name.value.key(), &role.name.place)))?;
        unique(connections.iter().map(|entry| (entry.slug.value.to_string(), &entry.slug.place)))?;
        unique(owners.iter().map(|(owner, place)| (owner.email.key(), place)))?;
        let owners = owners.into_iter().map(|(owner, _)| owner).collect();
        Ok(TenantFile { tenant, organizations, owners, roles, connections })
    }

    fn tenant(&self, raw: raw::Tenant) -> Outcome<TenantEntry> {
        let slug = self.read("tenant.slug", &raw.slug, Slug::parse)?;
        let name = self.title("tenant.name", &raw.name)?.value;
        let place = self.place_of("tenant.preset", &raw.preset);
        let preset = Preset::find(raw.preset.get_ref()).ok_or_else(|| {
            let known: Vec<_> = Preset::all().iter().map(|preset| preset.key.as_str()).collect();
            place.refuse(format!("there is no preset {:?}; there are {}", raw.preset.get_ref(), known.join(", ")))
        })?;
        let settings = match raw.settings {
            Some(raw) => self.settings(&preset.settings, &raw)?,
            None => preset.settings.clone(),
        };
        Ok(TenantEntry { slug, name, preset, settings })
    }

    fn settings(&self, base: &Settings, raw: &Spanned<toml::Table>) -> Outcome<Settings> {
        let place = self.place_of("tenant.settings", raw);
        let as_json = |value: &dyn erased::ToJson| value.to_json().map_err(|error| place.refuse(error));
        let mut settings = as_json(base)?;
        let overrides = as_json(raw.get_ref())?;
        let (Some(all), serde_json::Value::Object(overrides)) = (settings.as_object_mut(), overrides) else {
            return Err(place.refuse("a table was expected"));
        };
        all.extend(overrides);
        let settings: Settings = serde_json::from_value(settings).map_err(|error| place.refuse(error))?;
        if settings.min_owners < 1 {
            return Err(place.refuse("min_owners must be at least 1"));
        }
        if Apply::parse(&settings.default_mapping_apply).is_none() {
            return Err(place.refuse("default_mapping_apply: on_create, when_unmatched or always was expected"));
        }
        Ok(settings)
    }

    fn organization(&self, raw: &raw::Organization) -> Outcome<OrganizationEntry> {
        Ok(OrganizationEntry {
            slug: self.read("organizations.slug", &raw.slug, Slug::parse)?,
            name: self.title("organizations.name", &raw.name)?.value,
            parent: self.read("organizations.parent", &raw.parent, Slug::parse)?,
        })
    }

    fn owner(&self, raw: &raw::Owner) -> Outcome<(OwnerEntry, Place)> {
        let email = self.read("owners.email", &raw.email, Email::parse)?;
        let name = self.title("owners.name", &raw.name)?.value;
        Ok((OwnerEntry { email: email.value, name }, email.place))
    }

    fn role(&self, raw: raw::Role, tenant: &TenantEntry) -> Outcome<RoleEntry> {
        let name = self.title("roles.name", &raw.name)?;
        if !tenant.settings.custom_roles {
            return Err(name.place.refuse(format!(
                "the preset {} has no custom roles: take one of its own, or set custom_roles = true in tenant.settings",
                tenant.preset.key
            )));
        }
        let place = self.place_of("roles.permissions", &raw.permissions);
        let permissions = raw.permissions.into_inner();
        let permissions = permissions
            .iter()
            .map(|raw| self.read("roles.permissions", raw, |text| known_permission(tenant.preset, text)).map(|at| at.value))
            .collect::<Outcome<BTreeSet<_>>>()?;
        if permissions.is_empty() {
            return Err(place.refuse("a role needs at least one permission"));
        }
        Ok(RoleEntry { name, description: raw.description, permissions })
    }

    fn connection(&self, raw: raw::Connection, tenant: &TenantEntry) -> Outcome<ConnectionEntry> {
        let slug = self.read("connections.slug", &raw.slug, Slug::parse)?;
        let organization = match &raw.organization {
            Some(raw) => self.read("connections.organization", raw, Slug::parse)?,
            None => tenant.slug.clone(),
        };
        let raw::Saml { idp_metadata, idp_metadata_url, .. } = &raw.saml;
        let idp_metadata = match (idp_metadata, idp_metadata_url) {
            (Some(_), Some(url)) => {
                return Err(self
                    .place_of("connections.saml.idp_metadata_url", url)
                    .refuse("idp_metadata is there too; one of them is needed"));
            }
            (Some(path), None) => Some(self.read("connections.saml.idp_metadata", path, |text| self.metadata_path(text))?),
            (None, Some(url)) => Some(self.read("connections.saml.idp_metadata_url", url, metadata_url)?),
            (None, None) => None,
        };
        let scim = raw.scim;
        let saml = self.saml(raw.saml)?;
        let raw::DefaultMapping { roles, apply, unmatched } = raw.default_mapping;
        let default_roles =
            roles.into_iter().map(|raw| self.read("connections.default_mapping.roles", &raw, named)).collect::<Outcome<_>>()?;
        let standard = Apply::parse(&tenant.settings.default_mapping_apply).unwrap_or_default();
        let rules = raw.rules.into_iter().map(|raw| self.rule(raw)).collect::<Outcome<Vec<_>>>()?;
        unique(rules.iter().map(|rule| (fold(&rule.name.value), &rule.name.place)))?;
        Ok(ConnectionEntry {
            slug,
            organization,
            audience: raw.audience,
            authority: raw.authority,
            enabled: raw.enabled,
            allow_owner_grants: raw.allow_owner_grants,
            scim,
            saml,
            idp_metadata,
            attributes: raw.attributes,
            default_roles,
            default_apply: apply.unwrap_or(standard),
            unmatched,
            rules,
        })
    }

    fn saml(&self, raw: raw::Saml) -> Outcome<SamlSettings> {
        let standard = SamlSettings::default();
        let within = |key: &str, raw: Option<Spanned<i64>>, most: i64, standard: i64| {
            let Some(raw) = raw else { return Ok(standard) };
            let fits = (0..=most).contains(raw.get_ref());
            let refused = || self.place_of(key, &raw).refuse(format!("0 to {most} was expected"));
            fits.then(|| *raw.get_ref()).ok_or_else(refused)
        };
        if let Some(correlate) = &raw.correlate
            && !["userName", "externalId"].contains(&correlate.get_ref().scim.as_str())
        {
            return Err(self.place_of("connections.saml.correlate", correlate).refuse("scim must be userName or externalId"));
        }
        Ok(SamlSettings {
            enabled: raw.enabled,
            jit: raw.jit,
            idp_initiated: raw.idp_initiated,
            correlate: raw.correlate.map(Spanned::into_inner),
            subject_attribute: raw.subject_attribute,
            missing_groups: raw.missing_groups,
            group_delimiter: raw.group_delimiter.filter(|delimiter| !delimiter.is_empty()),
            skew_secs: within("connections.saml.skew_secs", raw.skew_secs, 300, standard.skew_secs)?,
            name_id_format: raw.name_id_format,
            session_ttl_secs: within("connections.saml.session_ttl_secs", raw.session_ttl_secs, 30 * 86_400, standard.session_ttl_secs)?,
            ..standard
        })
    }

    fn metadata_path(&self, text: &str) -> Result<MetadataSource, &'static str> {
        if text.trim().is_empty() {
            return Err("the path of the identity provider's metadata was expected");
        }
        Ok(MetadataSource::File(self.path.parent().unwrap_or(Path::new("")).join(text)))
    }

    fn rule(&self, raw: raw::Rule) -> Outcome<RuleEntry> {
        let name = self.read("connections.rules.name", &raw.name, named)?;
        let when = self.read("connections.rules.when", &raw.when, Filter::parse)?.value;
        let targets = |key: &str, raw: Vec<raw::Target>| raw.into_iter().map(|raw| self.target(key, raw)).collect::<Outcome<Vec<_>>>();
        let entry = RuleEntry {
            grants: targets("connections.rules.grant", raw.grant)?,
            excludes: targets("connections.rules.exclude", raw.exclude)?,
            set_home_organization: raw
                .set_home_organization
                .map(|raw| self.read("connections.rules.set_home_organization", &raw, Template::parse).map(|at| at.value))
                .transpose()?,
            valid_from: self.time("connections.rules.valid_from", raw.valid_from.as_ref())?,
            valid_until: self.time("connections.rules.valid_until", raw.valid_until.as_ref())?,
            name,
            note: raw.note,
            enabled: raw.enabled,
            applies_to: raw.applies_to,
            when,
            deny_sign_in: raw.deny_sign_in,
            set_kind: raw.set.map(|set| set.kind),
            mode: raw.mode,
            on_delete: raw.on_delete,
            root_published: raw.root_published,
        };
        let does_something = !entry.grants.is_empty()
            || !entry.excludes.is_empty()
            || entry.deny_sign_in.is_some()
            || entry.set_home_organization.is_some()
            || entry.set_kind.is_some();
        if does_something {
            Ok(entry)
        } else {
            Err(entry.name.place.refuse("the rule has no effect: grant, exclude, deny_sign_in, set_home_organization or set is needed"))
        }
    }

    fn time(&self, key: &str, raw: Option<&Spanned<String>>) -> Outcome<Option<Timestamp>> {
        raw.map(|raw| self.read(key, raw, Timestamp::parse).map(|at| at.value)).transpose()
    }

    fn target(&self, key: &str, raw: raw::Target) -> Outcome<TargetEntry> {
        let organization = |text: &str| {
            if text.contains('{') {
                Template::parse(text).map(WhereEntry::Template).map_err(|error| error.to_string())
            } else {
                Slug::parse(text).map(WhereEntry::Slug).map_err(|error| error.to_string())
            }
        };
        Ok(TargetEntry {
            role: self.read(&format!("{key}.role"), &raw.role, named)?,
            organization: raw.organization.map(|raw| self.read(&format!("{key}.organization"), &raw, organization)).transpose()?,
            reach: raw.reach,
        })
    }
}

fn known_permission(preset: &Preset, text: &str) -> Result<Permission, String> {
    let permission = Permission::parse(text).map_err(|error| error.to_string())?;
    if preset.catalogue.resolve(&permission).next().is_none() {
        return Err(format!("{text:?} names nothing in the catalogue of the preset {}", preset.key));
    }
    Ok(permission)
}

/// A name that is looked up later.
fn named(text: &str) -> Result<String, String> {
    Title::parse("name", text).map(|title| title.as_str().to_owned()).map_err(|error| error.to_string())
}

fn metadata_url(text: &str) -> Result<MetadataSource, String> {
    let address = url::Url::parse(text).map_err(|error| format!("{text:?} is not an address: {error}"))?;
    let loopback = matches!(address.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if address.scheme() == "https" || (address.scheme() == "http" && loopback) {
        Ok(MetadataSource::Url(address))
    } else {
        Err("an https address was expected: whoever can change the metadata on its way signs in as anybody".to_owned())
    }
}

fn unique<'a>(names: impl Iterator<Item = (String, &'a Place)>) -> Outcome<()> {
    let mut seen = BTreeMap::new();
    for (name, place) in names {
        if let Some(line) = seen.insert(name.clone(), place.line) {
            return Err(place.refuse(format!("{name:?} stands in line {line} already")));
        }
    }
    Ok(())
}

/// Two kinds of values become JSON through one closure.
mod erased {
    pub(super) trait ToJson {
        fn to_json(&self) -> serde_json::Result<serde_json::Value>;
    }
    impl<T: serde::Serialize> ToJson for T {
        fn to_json(&self) -> serde_json::Result<serde_json::Value> {
            serde_json::to_value(self)
        }
    }
}

/// The file's form, key by key.
mod raw {
    use super::{
        AppliesTo, Apply, Audience, Authority, BTreeMap, Correlation, Deserialize, Jit, MissingGroups, Mode, OnDelete, Reach, ScimSettings,
        SettableKind, Spanned, Unmatched,
    };

    fn yes() -> bool {
        true
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct File {
        pub tenant: Tenant,
        #[serde(default)]
        pub organizations: Vec<Organization>,
        #[serde(default)]
        pub owners: Vec<Owner>,
        #[serde(default)]
        pub roles: Vec<Role>,
        #[serde(default)]
        pub connections: Vec<Connection>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Tenant {
        pub slug: Spanned<String>,
        pub name: Spanned<String>,
        pub preset: Spanned<String>,
        pub settings: Option<Spanned<toml::Table>>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Organization {
        pub slug: Spanned<String>,
        pub name: Spanned<String>,
        pub parent: Spanned<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Owner {
        pub email: Spanned<String>,
        pub name: Spanned<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Role {
        pub name: Spanned<String>,
        #[serde(default)]
        pub description: String,
        pub permissions: Spanned<Vec<Spanned<String>>>,
    }

    fn admin() -> Audience {
        Audience::Admin
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Connection {
        pub slug: Spanned<String>,
        pub organization: Option<Spanned<String>>,
        #[serde(default = "admin")]
        pub audience: Audience,
        #[serde(default)]
        pub authority: Authority,
        #[serde(default = "yes")]
        pub enabled: bool,
        #[serde(default)]
        pub allow_owner_grants: bool,
        #[serde(default)]
        pub scim: ScimSettings,
        #[serde(default)]
        pub saml: Saml,
        #[serde(default)]
        pub attributes: BTreeMap<String, String>,
        #[serde(default)]
        pub default_mapping: DefaultMapping,
        #[serde(default)]
        pub rules: Vec<Rule>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    pub(super) struct Saml {
        pub enabled: bool,
        pub idp_metadata: Option<Spanned<String>>,
        pub idp_metadata_url: Option<Spanned<String>>,
        pub jit: Option<Jit>,
        pub idp_initiated: bool,
        pub correlate: Option<Spanned<Correlation>>,
        pub subject_attribute: Option<String>,
        pub missing_groups: MissingGroups,
        pub group_delimiter: Option<String>,
        pub skew_secs: Option<Spanned<i64>>,
        pub name_id_format: Option<String>,
        pub session_ttl_secs: Option<Spanned<i64>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    pub(super) struct DefaultMapping {
        pub roles: Vec<Spanned<String>>,
        pub apply: Option<Apply>,
        pub unmatched: Unmatched,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Rule {
        pub name: Spanned<String>,
        #[serde(default)]
        pub note: String,
        #[serde(default = "yes")]
        pub enabled: bool,
        #[serde(default)]
        pub applies_to: AppliesTo,
        pub when: Spanned<String>,
        #[serde(default)]
        pub grant: Vec<Target>,
        #[serde(default)]
        pub exclude: Vec<Target>,
        pub deny_sign_in: Option<String>,
        pub set_home_organization: Option<Spanned<String>>,
        pub set: Option<Set>,
        #[serde(default)]
        pub mode: Mode,
        #[serde(default)]
        pub on_delete: OnDelete,
        pub valid_from: Option<Spanned<String>>,
        pub valid_until: Option<Spanned<String>>,
        #[serde(default)]
        pub root_published: bool,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Target {
        pub role: Spanned<String>,
        pub organization: Option<Spanned<String>>,
        pub reach: Option<Reach>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Set {
        pub kind: SettableKind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn roles_are_read_where_the_preset_allows_them() {
        let role = "[[roles]]\nname = 'Theme editor'\npermissions = ['account_branding_customization:*']\n";
        let file = parse(&format!("{SMALL}{role}")).unwrap();
        assert_eq!(file.roles[0].permissions.len(), 1);
        let refused = parse(&format!("{}{role}", SMALL.replace("idaas", "owner-member"))).unwrap_err();
        assert!(refused.to_string().contains("line 6: roles.name: the preset owner-member has no custom roles"), "{refused}");
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
            (after("settings = { min_owner = 1 }\n"), "line 5: tenant.settings: unknown field `min_owner`"),
            (after("settings = { min_owners = 0 }\n"), "min_owners must be at least 1"),
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
            (rule("grant = []\nwhen = 'active eq true'\n"), "line 8: connections.rules.name: the rule has no effect"),
            (rule("when = 'userName eq'\ngrant = [{ role = 'x' }]\n"), "line 9: connections.rules.when: "),
            (
                rule("when = 'active eq true'\ngrant = [{ role = 'x', organization = '{a' }]\n"),
                "line 10: connections.rules.grant.organization: ",
            ),
            (rule("when = 'active eq true'\ngrant = [{ role = 'x', where = 'y' }]\n"), "unknown field `where`"),
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
