//! A named set of people.

use serde::Serialize;
use utoipa::ToSchema;

use super::Timestamp;

/// A named set of people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Group {
    /// What people call it.
    name: String,
    /// How many people are in it.
    members: i64,
    /// When it was made.
    created_at: Timestamp,
}

impl From<&kabar_store::Group> for Group {
    fn from(group: &kabar_store::Group) -> Self {
        Self { name: group.name.clone(), members: group.members, created_at: Timestamp(group.created_at) }
    }
}
