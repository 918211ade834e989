//! From the file's form to values that hold, each with its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use toml::Spanned;

use super::{
    At, ConnectionEntry, FileError, MetadataSource, OrganizationEntry, OwnerEntry, Place, RoleEntry, RuleEntry, TargetEntry, TenantEntry,
    TenantFile, WhereEntry, raw,
};
use crate::{
    admin::attribute_schema,
    domain::{
        catalogue::Permission,
        connection::{AuthnContext, Comparison, MAX_SKEW_SECS, SamlSettings},
        model::Settings,
        name::{Email, Slug, Title, fold},
        time::Timestamp,
    },
    policy::{mapping::Apply, preset::Preset, template::Template},
    saml::identity::stands_at,
    scim::{filter::Filter, path::AttrPath, schema::identity},
};

/// Turns raw values into typed ones; knows where each stands.
pub(super) struct Reader<'a> {
    pub path: &'a Path,
    pub text: &'a str,
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
    pub(super) fn syntax(&self, error: &toml::de::Error) -> FileError {
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

    pub(super) fn file(&self, raw: raw::File) -> Outcome<TenantFile> {
        let tenant = self.tenant(&raw.tenant)?;
        let organizations = raw.organizations.iter().map(|raw| self.organization(raw)).collect::<Outcome<Vec<_>>>()?;
        let owners = raw.owners.iter().map(|raw| self.owner(raw)).collect::<Outcome<Vec<_>>>()?;
        let roles = raw.roles.into_iter().map(|raw| self.role(raw, &tenant)).collect::<Outcome<Vec<_>>>()?;
        let mut connections = raw.connections.into_iter().map(|raw| self.connection(raw, &tenant)).collect::<Outcome<Vec<_>>>()?;
        self.switch_scim(&mut connections, tenant.settings.scim_inbound);

        let attribute_schema = raw.attribute_schema.as_ref().map(|raw| self.attribute_schema(raw)).transpose()?;

        let slugs = std::iter::once(&tenant.slug).chain(organizations.iter().map(|entry| &entry.slug));
        unique(slugs.map(|slug| (slug.value.to_string(), &slug.place)))?;
        unique(roles.iter().map(|role| (role.name.value.key(), &role.name.place)))?;
        unique(connections.iter().map(|entry| (entry.slug.value.to_string(), &entry.slug.place)))?;
        unique(owners.iter().map(|(owner, place)| (owner.email.key(), place)))?;
        let owners = owners.into_iter().map(|(owner, _)| owner).collect();
        Ok(TenantFile { tenant, organizations, owners, roles, connections, attribute_schema })
    }

    fn tenant(&self, raw: &raw::Tenant) -> Outcome<TenantEntry> {
        let slug = self.read("tenant.slug", &raw.slug, Slug::parse)?;
        let name = self.title("tenant.name", &raw.name)?.value;
        let place = self.place_of("tenant.preset", &raw.preset);
        let preset = Preset::find(raw.preset.get_ref()).ok_or_else(|| {
            let known: Vec<_> = Preset::all().iter().map(|preset| preset.key.as_str()).collect();
            place.refuse(format!("there is no preset {:?}; there are {}", raw.preset.get_ref(), known.join(", ")))
        })?;
        let settings = self.settings(preset, &raw.settings)?;
        let said = raw.settings.keys().map(|key| key.get_ref().clone()).collect();
        Ok(TenantEntry { slug, name, preset, preset_place: place, settings, said })
    }

    /// One at a time, so that what is wrong has its line.
    fn settings(&self, preset: &Preset, raw: &BTreeMap<Spanned<String>, toml::Value>) -> Outcome<Settings> {
        let base = &preset.settings;
        let mut settings = base.clone();
        for (key, value) in raw {
            let place = self.place_of("tenant.settings", key);
            let mut document = serde_json::to_value(&settings).map_err(|error| place.refuse(error))?;
            document[key.get_ref().as_str()] = serde_json::to_value(value).map_err(|error| place.refuse(error))?;
            settings = serde_json::from_value(document).map_err(|error| place.refuse(format!("{}: {error}", key.get_ref())))?;
            if settings.min_owners < 1 {
                return Err(place.refuse("min_owners must be at least 1"));
            }
            settings.check_sessions().map_err(|why| place.refuse(why))?;
            if let Some(missing) = base.owner_only.iter().find(|pair| !settings.owner_only.contains(pair)) {
                return Err(place
                    .refuse(format!("owner_only: {missing} is missing; a file adds to what is an owner's alone and takes nothing away")));
            }
            if Apply::parse(&settings.default_mapping_apply).is_none() {
                return Err(place.refuse("default_mapping_apply: on_create, when_unmatched or always was expected"));
            }
            preset.check_settings(&settings).map_err(|error| place.refuse(error))?;
        }
        Ok(settings)
    }

    /// Names on the left that rules know; what nobody reads would be thrown away at every sign-in.
    fn attributes(&self, raw: BTreeMap<Spanned<String>, String>) -> Outcome<BTreeMap<String, String>> {
        let read = |(name, source): (Spanned<String>, String)| {
            let place = self.place_of("connections.attributes", &name);
            let name = name.into_inner();
            let (outer, inner) = stands_at(&name);
            let path = inner.map_or_else(|| outer.to_owned(), |inner| format!("{outer}.{inner}"));
            AttrPath::parse(&path)
                .map_err(|error| error.to_string())
                .and_then(|path| known_attribute(&path))
                .map_err(|why| place.refuse(why))?;
            Ok((name, source))
        };
        raw.into_iter().map(read).collect()
    }

    /// What `PUT /api/v1/attribute-schema` would be sent.
    fn attribute_schema(&self, raw: &Spanned<toml::Table>) -> Outcome<At<String>> {
        let place = self.place_of("attribute_schema", raw);
        let value = serde_json::to_string(raw.get_ref()).map_err(|error| place.refuse(error))?;
        attribute_schema::read(&value).map_err(|error| place.refuse(error))?;
        Ok(At { value, place })
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
            attributes: self.attributes(raw.attributes)?,
            default_roles,
            default_apply: apply.unwrap_or(standard),
            unmatched,
            rules,
        })
    }

    /// A table `scim` that does not say `enabled` means what the tenant's settings say.
    fn switch_scim(&self, connections: &mut [ConnectionEntry], inbound: bool) {
        let file: toml::Table = self.text.parse().expect("it was read before");
        let tables = file.get("connections").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (entry, table) in connections.iter_mut().zip(tables) {
            if table.get("scim").is_some_and(|scim| scim.get("enabled").is_none()) {
                entry.scim.enabled = inbound;
            }
        }
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
        if let Some(context) = &raw.authn_context {
            let place = || self.place_of("connections.saml.authn_context", context);
            let AuthnContext { classes, comparison, required } = context.get_ref();
            if classes.is_empty() || classes.iter().any(|class| class.trim() != class || class.is_empty()) {
                return Err(place().refuse("classes must name at least one AuthnContextClassRef"));
            }
            if *required && *comparison != Comparison::Exact {
                return Err(place().refuse("required goes with the comparison exact alone: what is more or less has no order in SAML"));
            }
        }
        Ok(SamlSettings {
            enabled: raw.enabled,
            jit: raw.jit,
            idp_initiated: raw.idp_initiated,
            correlate: raw.correlate.map(Spanned::into_inner),
            subject_attribute: raw.subject_attribute,
            missing_groups: raw.missing_groups,
            group_delimiter: raw.group_delimiter.filter(|delimiter| !delimiter.is_empty()),
            skew_secs: within("connections.saml.skew_secs", raw.skew_secs, MAX_SKEW_SECS, standard.skew_secs)?,
            name_id_format: raw.name_id_format,
            request_binding: raw.request_binding,
            sign_requests: raw.sign_requests,
            force_authn: raw.force_authn,
            authn_context: raw.authn_context.map(Spanned::into_inner),
            sign_metadata: raw.sign_metadata,
            allow_cbc: raw.allow_cbc,
            expired_certificate_days: within(
                "connections.saml.expired_certificate_days",
                raw.expired_certificate_days,
                3650,
                standard.expired_certificate_days,
            )?,
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
        let when = self.read("connections.rules.when", &raw.when, condition)?.value;
        let targets = |key: &str, raw: Vec<raw::Target>| raw.into_iter().map(|raw| self.target(key, raw)).collect::<Outcome<Vec<_>>>();
        let entry = RuleEntry {
            grants: targets("connections.rules.grant", raw.grant)?,
            excludes: targets("connections.rules.exclude", raw.exclude)?,
            set_home_organization: raw
                .set_home_organization
                .map(|raw| self.read("connections.rules.set_home_organization", &raw, template).map(|at| at.value))
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
                template(text).map(WhereEntry::Template)
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

/// A condition on what people can have: one on anything else would never hold, and what it gave would be taken away.
fn condition(text: &str) -> Result<Filter, String> {
    let filter = Filter::parse(text).map_err(|error| error.to_string())?;
    filter.full_paths().iter().try_for_each(known_attribute)?;
    Ok(filter)
}

fn template(text: &str) -> Result<Template, String> {
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    template.attributes().filter_map(|name| AttrPath::parse(&name).ok()).try_for_each(|path| known_attribute(&path))?;
    Ok(template)
}

fn known_attribute(path: &AttrPath) -> Result<(), String> {
    if identity::knows(path) {
        return Ok(());
    }
    let name = path.to_string();
    let nearness = |known: &String| strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase());
    let nearest = identity::names().max_by(|a, b| nearness(a).total_cmp(&nearness(b))).unwrap_or_default();
    Err(format!("nobody has an attribute {name:?}; the nearest is {nearest:?}, and what is your own is named custom.NAME"))
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
