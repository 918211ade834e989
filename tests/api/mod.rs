//! What every route of the API has in common: its document, its refusals, requests that are made once, pages, versions.

mod again;
mod attention;
mod audit;
mod common;
mod document;
mod once;
mod tokens;
mod versions;
