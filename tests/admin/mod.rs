//! What the operator of the host does.

mod apply;
mod certificates;
mod people;
mod rewrap;
