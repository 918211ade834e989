//! The store on both engines.

mod migrations;
