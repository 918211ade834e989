//! What the operator of the host does.

mod apply;
