//! The file's form, key by key, as the TOML parser fills it; nothing is checked but names of keys and kinds of values.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::{
    domain::{
        assignment::Reach,
        connection::{Audience, AuthnContext, Authority, Correlation, Jit, MissingGroups, RequestBinding, ScimSettings},
    },
    policy::{
        mapping::{Apply, Unmatched},
        rule::{AppliesTo, Mode, OnDelete, SettableKind},
    },
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
    /// As RFC 7643 §7 writes a schema, in TOML.
    pub attribute_schema: Option<Spanned<toml::Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    pub slug: Spanned<String>,
    pub name: Spanned<String>,
    pub preset: Spanned<String>,
    #[serde(default)]
    pub settings: BTreeMap<Spanned<String>, toml::Value>,
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
    pub attributes: BTreeMap<Spanned<String>, String>,
    #[serde(default)]
    pub default_mapping: DefaultMapping,
    #[serde(default)]
    pub rules: Vec<Rule>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "switches that have nothing to do with one another")]
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
    pub request_binding: RequestBinding,
    pub sign_requests: Option<bool>,
    pub force_authn: bool,
    pub authn_context: Option<Spanned<AuthnContext>>,
    pub sign_metadata: bool,
    pub allow_cbc: bool,
    pub expired_certificate_days: Option<Spanned<i64>>,
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
