//! The Cloud API's surface: paths, access tokens, error shapes, and one file per kind of object that it serves.

pub(crate) mod access;
pub(crate) mod codes;
pub(crate) mod error;
pub(crate) mod messages;
pub(crate) mod nodes;
pub(crate) mod path;
pub(crate) mod template_list;
pub(crate) mod unknown;
pub(crate) mod unusual;
pub(crate) mod usage;
